// What others' implementations make of the same filters and patches: a JSON object on standard input, its answers on standard
// output. scim2-parse-filter and scim-patch follow RFC 7644 on their own.
import { scimPatch } from "scim-patch";
import { filter, parse } from "scim2-parse-filter";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const asked = JSON.parse(text);
const found = asked.filters.map((one) => asked.users.filter(filter(parse(one))).map((user) => user.id));
const patched = asked.patches.map(({ resource, operations }) => {
  try {
    return { resource: scimPatch(resource, operations) };
  } catch (error) {
    return { refused: String(error) };
  }
});
process.stdout.write(JSON.stringify({ found, patched }));
