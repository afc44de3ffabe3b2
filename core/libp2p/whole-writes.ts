/**
 * One socket write for each encrypted message. Noise hands over a length and a ciphertext apart, and TCP writes each part
 * by itself: two system calls, two packets, and a receiver that is woken for two bytes.
 */
import type { ConnectionEncrypter, MessageStream } from "@libp2p/interface";

/** The same encrypter, on connections that write what they are given in one piece. */
export function inWholeWrites<Components>(
  create: (components: Components) => ConnectionEncrypter,
): (components: Components) => ConnectionEncrypter {
  return (components) => {
    const encrypter = create(components);
    const { secureInbound, secureOutbound } = encrypter;
    encrypter.secureInbound = (stream, options) => secureInbound.call(encrypter, joining(stream), options);
    encrypter.secureOutbound = (stream, options) => secureOutbound.call(encrypter, joining(stream), options);
    return encrypter;
  };
}

function joining(stream: MessageStream): MessageStream {
  const send = stream.send.bind(stream);
  stream.send = (data) => send(data.subarray());
  return stream;
}
