// starwake.js at the other end of a pipe: one JSON object a line in, one a line out. See agents.py.
import { createInterface } from "node:readline";
import { CommandRefused, CommandTimeout, LineClosed, Starwake } from "../../../services/gateway/starwake/gateway/web/starwake.js";

/** @type {Map<string, {client: Starwake, events: object[], waiting: ((event: object | null) => void)[]}>} */
const sessions = new Map();
/** @type {Map<number, (token: string) => void>} */
const asks = new Map();
let asked = 0;

const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

function mint(name) {
  asked += 1;
  write({ mint: name, ask: asked });
  return new Promise((resolve) => asks.set(asked, resolve));
}

function codeOf(error) {
  if (error instanceof CommandRefused) return error.code;
  if (error instanceof CommandTimeout) return "timeout";
  if (error instanceof LineClosed) return "closed";
  throw error;
}

const operations = {
  async open({ name, url, resume }) {
    const client = new Starwake(url, { token: () => mint(name), resume });
    const session = { client, events: [], waiting: [] };
    sessions.set(name, session);
    const tell = (event) => {
      const waiter = session.waiting.shift();
      if (waiter) waiter(event);
      else session.events.push(event);
    };
    client.on("hello", ({ player, recovered }) => tell({ notice: "connected", player, recovered }));
    client.on("reset", () => tell({ notice: "missed" }));
    client.on("push", ({ event, data, feed, replayed }) => tell({ push: event, data, feed, replayed }));
    client.on("state", (state) => {
      if (state.name === "waiting") tell({ notice: "disconnected" });
      if (state.name === "closed") tell({ ended: state.code });
    });
    try {
      await client.open();
      return { result: {} };
    } catch (error) {
      if (error instanceof LineClosed && error.closeCode === 4500) return { error: "not_authenticated" };
      throw error;
    }
  },
  async command({ name, command, args, id }) {
    try {
      return { result: await sessions.get(name).client.command(command, args, id === null ? {} : { id }) };
    } catch (error) {
      return { error: codeOf(error) };
    }
  },
  async next({ name, within_s }) {
    const { events, waiting } = sessions.get(name);
    if (events.length > 0) return events.shift();
    return new Promise((resolve) => {
      const waiter = (event) => { clearTimeout(timer); resolve(event); };
      const timer = setTimeout(() => { waiting.splice(waiting.indexOf(waiter), 1); resolve(null); }, within_s * 1000);
      waiting.push(waiter);
    });
  },
  async position({ name }) {
    return sessions.get(name).client.position;
  },
  async close({ name }) {
    sessions.get(name).client.close();
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if ("token" in message) {
    asks.get(message.ask)(message.token);
    continue;
  }
  void operations[message.operation](message).then((value) => write({ n: message.n, value }));
}
for (const { client } of sessions.values()) client.close();
