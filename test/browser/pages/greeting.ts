/** The page of the harness's own test. */
import { systemClock, systemRandom } from "../../../core/libp2p/system-ports.ts";
import { expose } from "../expose.ts";

const functions = {
  greet: async (name: string, count: number) => ({ text: `hello ${name}`, chance: systemRandom.bytes(count).length }),
  passTime: (ms: number) =>
    new Promise<number>((resolve) => {
      const beginMs = systemClock.now();
      systemClock.after(ms, () => resolve(systemClock.now() - beginMs));
    }),
  fail: () => {
    throw new RangeError("as asked");
  },
  failLater() {
    setTimeout(() => {
      throw new Error("out of hand");
    });
  },
  remember: (value: string) => localStorage.setItem("greeting", value),
  remembered: () => localStorage.getItem("greeting"),
  tell: async (path: string, text: string) => (await fetch(path, { method: "POST", body: text })).text(),
};

export type Functions = typeof functions;

expose(functions);
