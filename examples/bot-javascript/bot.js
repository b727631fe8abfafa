// A player that is a program: it orders whatever is quickest, waits until that stands, and orders again.
//
//   node bot.js URL TOKEN [BUILDS]
import { CommandRefused, Starwake } from "./starwake.js";

const [url, token, builds = "3"] = process.argv.slice(2);
const player = await Starwake.connect(url, { token });

const standing = new Set(); // what is quick may stand before the answer to its order is looked at
let look = () => {};
const note = (build) => {
  standing.add(build.id);
  look();
};
player.on("build.completed", ({ data }) => note(data.build));
// Away for longer than the server's history: what was missed stands in the list.
player.on("reset", async () => (await player.buildList({ state: "completed" })).builds.forEach(note));

const untilItStands = (id) =>
  new Promise((resolve) => {
    look = () => standing.has(id) && resolve();
    look();
  });

try {
  const kinds = (await player.catalogue()).filter((kind) => !kind.requires?.length);
  const quickest = kinds.reduce((best, kind) => (kind.duration_s < best.duration_s ? kind : best));
  for (let count = 0; count < Number(builds); count += 1) {
    const build = await player.buildStart(quickest.kind, `base-${crypto.randomUUID().slice(0, 6)}`);
    console.log(`ordered ${quickest.title} on ${build.site}, due at ${build.due_at}`);
    await untilItStands(build.id);
    console.log(`${quickest.title} stands on ${build.site}`);
  }
} catch (error) {
  if (!(error instanceof CommandRefused)) throw error;
  console.error(`refused: ${error.code}: ${error.message}`); // it holds as many builds as it may, say
  process.exitCode = 1;
} finally {
  player.close();
}
