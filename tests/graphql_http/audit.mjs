// Prints what each official audit of the endpoint says, as JSON: its id, its name, its status, and why.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const said = results.map(({ id, name, status, reason }) => ({ id, name, status, reason }));
console.log(JSON.stringify(said));
