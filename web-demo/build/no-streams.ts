/**
 * A Vite plugin that leaves out how libp2p's generated messages are read piece by piece, which nobody does here: of each
 * message a third of its code.
 */
import type { Plugin } from "vite";

const generated = /\/node_modules\/@(?:libp2p|chainsafe)\/.*\/dist\/src\/(?:pb|message)\/[a-z]+\.js$/;
/** The last argument of `message(encode, decode, stream)`. */
const reading = /^( *)\}, function\* \(reader, length, prefix, opts = \{\}\) \{\n[\s\S]*?^\1\}\);/gm;
const makesMessages = /\bstreamMessage\b/;

export function noMessageStreams(): Plugin {
  return {
    name: "everwrite-no-message-streams",
    transform: {
      filter: { id: generated },
      handler(code, id) {
        if (!makesMessages.test(code)) return null;
        const changed = code.replace(reading, "$1});");
        if (changed.includes("function*")) this.error(`${id} makes messages in another way now`);
        return { code: changed, map: null };
      },
    },
  };
}
