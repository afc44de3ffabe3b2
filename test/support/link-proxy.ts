/**
 * A TCP proxy before a host: counts the bytes of the links through it, and cuts them.
 */
import { createServer, connect, type AddressInfo, type Socket } from "node:net";

export class LinkProxy implements AsyncDisposable {
  readonly #target: number;
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  /** Both ways, of all links. */
  bytes = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  static async before(port: number): Promise<LinkProxy> {
    const proxy = new LinkProxy(port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all links, and takes no more until `heal`. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    if (this.#isCut) return void socket.destroy();
    const onward = connect(this.#target, "127.0.0.1");
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (chunk) => {
        this.bytes += chunk.length;
        to.write(chunk);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
