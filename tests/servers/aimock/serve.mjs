// node serve.mjs KEY: serves answers.json with aimock, on a free loopback port, to those who know the key. Prints one
// line, {"url": …}, once requests are served; the end of stdin, however the parent ended, is the end of the program.
import { fileURLToPath } from "node:url";
import { createServer, loadFixtureFile, validateFixtures } from "@copilotkit/aimock";

const answers = loadFixtureFile(fileURLToPath(new URL("answers.json", import.meta.url)));
const mistakes = validateFixtures(answers).filter((found) => found.severity === "error");
if (answers.length === 0 || mistakes.length > 0) {
  console.error("answers.json:", mistakes);
  process.exit(1);
}
const auth = { apiKeys: [process.argv[2]] };
const { url } = await createServer(answers, { auth, port: 0, chunkSize: 6, latency: 0, strict: true, logLevel: "warn" });
process.stdout.write(JSON.stringify({ url }) + "\n");
process.stdin.on("end", () => process.exit(0)).resume();
