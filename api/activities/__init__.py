"""Activities: pushed by integrators, and read back."""
