// A small web app on Node's standard library: says hello, stops cleanly on SIGTERM.
"use strict";
const http = require("node:http");

const port = Number(process.env.PORT || 5000);
const host = process.env.HOST || "127.0.0.1";
const server = http.createServer((request, response) => {
  const greeting = process.env.GREETING || "Hello";
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(`${greeting} from ${process.env.WORKFLOW_RELEASE || "v0"}\n`);
});
server.listen(port, host, () => console.log(`listening on port ${port}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
