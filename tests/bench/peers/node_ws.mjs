// node `ws`, as its README's "Simple server" and "Server broadcast": the usual figure to compare a WebSocket server with.
// It checks no token, which favours it.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const data = Buffer.from(body);
    for (const client of sockets.clients) client.send(data, { binary: false });
    response.end(JSON.stringify({ sockets: sockets.clients.size }));
  });
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on("connection", (socket) => {
  socket.send(JSON.stringify({ type: "hello", player: "any" }));
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    socket.send(JSON.stringify({ type: "reply", id: frame.id, command: frame.command, result: {} }));
  });
});
server.listen(Number(process.env.BENCH_PORT), "127.0.0.1");
