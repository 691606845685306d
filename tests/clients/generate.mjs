// Does what the command `graphql-codegen` does with codegen.json, whose own packages are three times as many.

import { readFile, writeFile } from "node:fs/promises";
import { codegen } from "@graphql-codegen/core";
import { buildSchema, lexicographicSortSchema, parse } from "graphql";

const config = JSON.parse(await readFile("codegen.json", "utf8"));
const schemaAst = lexicographicSortSchema(buildSchema(await readFile(config.schema, "utf8")));
const documents = await Promise.all(
  config.documents.map(async (location) => ({ location, document: parse(await readFile(location, "utf8")) })),
);

for (const [filename, wanted] of Object.entries(config.generates)) {
  const plugins = wanted.plugins.map((name) => ({ [name]: {} }));
  const found = wanted.plugins.map(async (name) => [name, await import(`@graphql-codegen/${name}`)]);
  const pluginMap = Object.fromEntries(await Promise.all(found));
  const made = { filename, plugins, pluginMap, schemaAst, documents, config: wanted.config };
  await writeFile(filename, await codegen(made));
}
