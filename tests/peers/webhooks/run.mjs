// A receiver that knows nothing of us but the secrets it is told, one a line on standard input: each delivery is verified by the
// library of Standard Webhooks, under every secret. Its port and what came of each delivery are JSON lines on standard output.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const secrets = [];
createInterface({ input: process.stdin })
  .on("line", (secret) => secrets.push(secret))
  .on("close", () => process.exit(0));

function verified(secret, body, headers) {
  try {
    return new Webhook(secret).verify(body, headers);
  } catch {
    return null;
  }
}

let count = 0;
const server = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const payload = secrets.map((secret) => verified(secret, body, request.headers));
    const forged = secrets.map((secret) => verified(secret, body + " ", request.headers));
    count += 1;
    response.writeHead(count === 1 ? 503 : 204).end(); // the first is to come again
    console.log(JSON.stringify({ id: request.headers["webhook-id"], body, payload, forged }));
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
