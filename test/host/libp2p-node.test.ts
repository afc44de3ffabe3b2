import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { IdentityError, loadIdentity } from "../../node-host/identity-file.ts";
import { ListenError, nodeLibp2p } from "../../node-host/libp2p-node.ts";

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

describe("identity file", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "everwrite-identity-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("is created once, for its owner alone, and gives the same identity ever after", async () => {
    const path = join(folder, "deep", "identity");
    const first = await loadIdentity(path);
    const second = await loadIdentity(path, () => assert.fail("no warning is due"));
    assert.equal(second.publicKey.toString(), first.publicKey.toString());
    assert.equal(await modeOf(path), 0o600);
    assert.deepEqual(await readdir(join(folder, "deep")), ["identity"]);
  });

  it("is one and the same for all who create it at the same moment", async () => {
    const path = join(folder, "race");
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadIdentity(path)));
    assert.equal(new Set(keys.map((key) => key.publicKey.toString())).size, 1);
  });

  it("that others can read is tightened, with a warning that names it", async () => {
    const path = join(folder, "open");
    await loadIdentity(path);
    await chmod(path, 0o644);
    const warnings: string[] = [];
    await loadIdentity(path, (text) => warnings.push(text));
    assert.equal(await modeOf(path), 0o600);
    assert.equal(warnings.length, 1);
    assert.ok(warnings[0]?.includes(path) && warnings[0].includes("644"));
  });

  it("that is damaged is a typed error with advice, and is left as it is", async () => {
    const path = join(folder, "damaged");
    await writeFile(path, "not a key", { mode: 0o600 });
    await assert.rejects(loadIdentity(path), (error: unknown) => {
      assert.ok(error instanceof IdentityError && error.kind === "damaged");
      assert.ok(error.message.includes(path) && error.message.includes("backup"));
      return true;
    });
    assert.equal((await stat(path)).size, 9);
    const somebodyElses = join(folder, "hosts");
    await writeFile(somebodyElses, "127.0.0.1 localhost");
    await chmod(somebodyElses, 0o644);
    await assert.rejects(loadIdentity(somebodyElses, () => assert.fail("it is no key, whose mode would matter")));
    assert.equal(await modeOf(somebodyElses), 0o644);
  });

  it("that cannot be read is a typed error that says so", async () => {
    await assert.rejects(
      loadIdentity(folder),
      (error: unknown) => error instanceof IdentityError && error.kind === "unreadable",
    );
  });
});

it("a port that is taken is an error that names the address, and nothing stays open", async () => {
  const first = await nodeLibp2p({ listen: ["/ip4/127.0.0.1/tcp/0"] });
  const taken = String(first.getMultiaddrs()[0]).replace(/\/p2p\/.*$/, "");
  await assert.rejects(nodeLibp2p({ listen: [taken] }), (error: unknown) => {
    assert.ok(error instanceof ListenError);
    assert.ok(error.message.includes(taken) && error.message.includes("EADDRINUSE"), error.message);
    return true;
  });
  await first.stop();
});

it("a node listens on loopback unless told otherwise, over TCP and WebSocket", async () => {
  const node = await nodeLibp2p();
  const addresses = node.getMultiaddrs().map(String);
  assert.equal(addresses.length, 2);
  assert.ok(addresses.every((address) => address.startsWith("/ip4/127.0.0.1/tcp/")));
  assert.equal(addresses.filter((address) => address.includes("/ws")).length, 1);
  await node.stop();
});
