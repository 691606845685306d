// Every rule of @graphql-eslint on the schema, and the recommended ones on operations, but for those that are "off".

import graphql from "@graphql-eslint/eslint-plugin";

const { "flat/schema-all": all, "flat/schema-relay": relay, "flat/operations-recommended": operations } = graphql.configs;

const described = { types: true, FieldDefinition: true, InputValueDefinition: true, EnumValueDefinition: true };

const documents = ["screen.graphql", "management.graphql", "integration.graphql"];

export default [
  {
    files: ["**/*.graphql"],
    plugins: { "@graphql-eslint": graphql },
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema.graphql", documents } },
    },
  },
  {
    files: ["schema.graphql"],
    rules: {
      ...all.rules,
      ...relay.rules,
      "@graphql-eslint/input-name": ["error", { checkInputType: true, caseSensitiveInputType: false }],
      "@graphql-eslint/require-description": ["error", described],
      // Connections go forward only.
      "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],
      // What cannot grow is a plain list.
      "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false }],
      // Fields, values and arguments stand in the order in which a reader wants them.
      "@graphql-eslint/alphabetize": "off",
      // It forbids mutations altogether.
      "@graphql-eslint/no-root-type": "off",
      // It wants a date of deletion in an argument that the standard's @deprecated does not have.
      "@graphql-eslint/require-deprecation-date": "off",
      // What changes is in the payload; a client that wants more asks for it.
      "@graphql-eslint/require-field-of-type-query-in-mutation-result": "off",
      // A payload is always there: what can be missing is null inside it.
      "@graphql-eslint/require-nullable-result-in-root": "off",
      // Only nodes have ids: the parts of a node, payloads, user errors, connections and edges have none.
      "@graphql-eslint/strict-id-in-types": "off",
    },
  },
  { files: documents, rules: operations.rules },
];
