/** Seeds that broke a rule once, by what they show now. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawScenario } from "./draw.ts";
import { simulate } from "./simulate.ts";

const formerFailures = [
  ["plain-43", "a timer that is due in less than numbers can tell passes"],
  ["plain-93", "a former owner may drop what an owner confirmed, and lost a moment later"],
  ["plain-605", "a former owner does not drop the last copy while the records of all who confirm have rotted"],
  ["plain-699", "a host that was removed before it was told the secrets ends its start"],
  ["plain-94228", "a ring that lost its only disk before it met the other one blocks no key"],
  ["plain-300814", "what a disk rejected and kept does not stay with a host that does not own it"],
  ["plain-302147", "a host that slept in the middle of a drop asks the owners again about what is left"],
  ["plain-404383", "what two hosts keep for one owner is one copy once it has it"],
  ["plain-400186", "a former owner believes either of two processes that answer under an owner's name"],
  ["plain-404986", "a former owner may drop what an owner confirmed, whose disk is an older copy a moment later"],
  ["plain-404606", "a host tells that it has filled a partition while it waits for a source of others"],
  ["plain-721", "an update replaces all siblings, also where clocks are cut by force at once"],
  [
    "plain-501829",
    "a host that finds a record rotten which it has in memory tells nobody that it is durable before it is",
  ],
  ["plain-601301", "a host that returned after a lapse hears nothing of what its run before still asked others"],
  ["plain-409972", "a host that takes its share beside a rebalance costs balance until the next one"],
  ["plain-406246", "a row that goes in one batch with a ring, before it, goes by the ring that was there"],
  ["values-105", "an edge without room for its copy in memory lets go of what hosts have let go of"],
  ["leases-18", "a browser host that is back just before its lease is ended keeps it"],
  ["deletes-63", "a host that was removed while it was cut off may keep what the others have forgotten"],
  ["deletes-910001", "a context from inside, given after a cut, replaces nothing that only an outsider still has"],
  ["edges-82", "an edge's write with a context of a ring founded apart is parked where that one has not been met"],
  ["702153", "a host on an old copy that has met nobody may keep what the others have forgotten"],
  ["moves-2", "a host that meets another ring fills from it, also when it is killed as it hears of that"],
  ["801249", "a former owner makes up for the host whose lease it ends, also where it owns a partition again by that"],
  ["801572", "a former owner makes up for a host that shares many partitions with it as its lease is ended"],
  ["801696", "an application that asks all replicas over slow wires asks again where one of them is late"],
  ["1000353", "what all consented to forget is forgotten, also where the ring changes at that moment"],
  ["1001202", "a hint that stands for a copy which nobody can mend is not kept for ever"],
  ["2006925", "a removal that a paused host carries out as all heals is undone by the operator"],
  ["2009977", "an edge that loses its hosts while it asks them for the time sends nothing by its own clock"],
  ["edges-749", "an edge's write that goes before those that it has not seen goes by the hosts' time"],
  ["6001226", "a rebalance that cannot move a token yet says so"],
  ["7004545", "a page that is stopped while it waits to be told the time goes by no answer from before"],
  ["14000505", "a host that comes back after a lapse does not do so through another that has lapsed with it"],
  [
    "16000968",
    "a host leaves with no hint: not even one for a write that it answered at W, whose last owner is silent",
  ],
  ["17004336", "an edge sends nothing by its own clock because the first host that it asks is still starting"],
  ["17005120", "what a ring of one host had forgotten comes back with a backup of that host"],
  [
    "17006050",
    "a hint for a host that is away goes where its owner has it, and that one loses its disk at this moment",
  ],
  [
    "18001690",
    "a drop that a disk rejected and shows all the same at the next start was confirmed by who set its data aside since",
  ],
  ["18001778", "a second process under an owner's name confirms what goes with its disk"],
  [
    "19001656",
    "an edge has seen its own write, also where that was lost with the disk of a second process under its owner's name",
  ],
  ["19002741", "a ring is judged when all hosts agree about it, not as one takes its share"],
  ["17002296", "a lease ends where another makes up for the copy, though that one is heard to fill at the same moment"],
  ["17002357", "a removed host whose disk shows at its start what it had rejected brings nothing back"],
  ["14000431", "a host that pauses while another of its name takes its links wakes to little of that"],
  ["11001048", "what hosts have forgotten does not come back at an edge that reads from one of them"],
  ["10002384", "with buffered writes a hint goes when its owner has it on the disk"],
  ["9012984", "an edge's renewal is later than the own write that it has seen, whatever has replaced that meanwhile"],
  ["9009657", "a host that hears, while it reads, that it was removed answers nothing that too few have told it"],
  ["9006633", "a host that was removed takes no hint from one that has not heard of it"],
  ["8000283", "a host that returns after a lapse goes by what it heard until it had let go"],
  ["7007892", "a copy that goes from the host that took over to the one that takes over from it is one copy"],
  ["6000762", "a write that races a reap is none of those that resolve a key at last"],
] as const;

for (const [seed, sentence] of formerFailures) {
  test(`${sentence} (seed ${seed})`, async () => {
    const { violation, log } = await simulate(drawScenario(seed));
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, log.slice(-20).join("\n"));
  });
}
