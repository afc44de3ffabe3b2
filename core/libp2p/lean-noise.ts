/**
 * Encryption of connections, with little overhead for each message. js-libp2p's noise
 * - hands over a length and a ciphertext apart, and TCP writes each part by itself: two system calls, two packets, and a
 *   receiver that is woken for two bytes;
 * - notices by an exception that all that has arrived is read: its stack trace takes longer than decrypting a keystroke.
 */
import type { MessageStream, SecuredConnection } from "@libp2p/interface";
import { noise } from "@libp2p/noise";

/** For `connectionEncrypters`. */
export function leanNoise(): ReturnType<typeof noise> {
  const create = noise();
  return (components) => {
    const encrypter = create(components);
    const secureInbound = encrypter.secureInbound.bind(encrypter);
    const secureOutbound = encrypter.secureOutbound.bind(encrypter);
    encrypter.secureInbound = async (stream, options) =>
      readingToTheEnd(await secureInbound(inWholeWrites(stream), options));
    encrypter.secureOutbound = async (stream, options) =>
      readingToTheEnd(await secureOutbound(inWholeWrites(stream), options));
    return encrypter;
  };
}

function inWholeWrites(stream: MessageStream): MessageStream {
  const send = stream.send.bind(stream);
  stream.send = (data) => send(data.subarray());
  return stream;
}

/** What is private of the secured stream: where it cuts into messages what has arrived. */
interface Reading {
  readonly decoder: { lengthDecoder: (arrived: Arrived) => number };
}

interface Arrived {
  readonly byteLength: number;
  get(place: number): number;
}

const lengthBytes = 2;
/** With its length it is longer than what has arrived, so that it is waited for. */
const longest = 65_535;

function readingToTheEnd<Secured extends SecuredConnection>(secured: Secured): Secured {
  const { decoder } = secured.connection as MessageStream & Reading;
  decoder.lengthDecoder = (arrived) =>
    arrived.byteLength < lengthBytes ? longest : (arrived.get(0) << 8) | arrived.get(1);
  return secured;
}
