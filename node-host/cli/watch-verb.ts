/**
 * watch: each state of a key, or of all keys of a bucket, as it comes.
 */
import { once } from "node:events";
import type { Command } from "commander";
import { bucketPath, errorOf, type HttpClient, keyPath } from "./client.ts";
import { preview, type ReadJson } from "./siblings.ts";
import { CliError, type Io, printableName, readAll, styled } from "./terminal.ts";
import { clientVerb, type CommonFlags, withClient } from "./verb.ts";

interface StateJson extends ReadJson {
  readonly bucket: string;
  readonly key: string;
}

export function addWatchVerb(program: Command, io: Io): void {
  clientVerb(program, "watch", {
    about: "print the state of a key, or of all keys of a bucket, now and at each change",
    examples: ["watch carts/alice", "watch carts/ --prefix al --json"],
  })
    .argument("<bucket/key>", "BUCKET/KEY, or BUCKET/ for all")
    .option("--prefix <prefix>", "with BUCKET/: only keys that begin so")
    .action((target: string, flags: CommonFlags & { prefix?: string }) =>
      withClient(io, flags, (client) => runWatch(io, client, target, flags)),
    );
}

async function runWatch(
  io: Io,
  client: HttpClient,
  target: string,
  flags: CommonFlags & { prefix?: string },
): Promise<void> {
  const { prefix } = flags;
  const path = target.endsWith("/") ? bucketPath("/watch", target) : keyPath("/watch", target);
  const answer = await client.open("GET", path, { query: { prefix } });
  if (answer.status !== 200) throw errorOf({ ...answer, body: await readAll(answer.body) });
  for await (const { event, data } of serverSentEvents(answer.body)) {
    if (event === "error") throw errorOf({ status: 200, headers: {}, body: Buffer.from(data) });
    if (event !== "state") continue;
    const text = flags.json ? data : stateText(io, JSON.parse(data) as StateJson);
    const written = io.stdout.write(`${text}\n`);
    if (written === false) await once(io.stdout as NodeJS.WriteStream, "drain");
  }
  throw new CliError("the host ended the watch: is it stopping?");
}

/** The frames of a `text/event-stream`; comments are dropped. */
export async function* serverSentEvents(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly event: string; readonly data: string }> {
  const utf8 = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += utf8.decode(chunk, { stream: true });
    const frames = text.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) {
      const field = (name: string): string =>
        frame
          .split("\n")
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2))
          .join("\n");
      if (field("data") !== "") yield { event: field("event"), data: field("data") };
    }
  }
}

function stateText(io: Io, state: StateJson): string {
  const key = styled(io, "bold", printableName(`${state.bucket}/${state.key}`));
  const time = styled(io, "dim", new Date().toISOString());
  const count = state.siblings.length;
  if (count === 0) return `${time}  ${key}  no value`;
  const marks = [count > 1 && `${count} siblings`, state.deleted && "a delete beside", state.degraded && "degraded"];
  const notes = marks.filter((mark) => typeof mark === "string").join(", ");
  return [`${time}  ${key}  ${notes}`.trimEnd(), ...state.siblings.map(preview)].join("\n");
}
