/**
 * A dial over WebRTC that does not hang. js-libp2p's dialler opens a channel named `init` and waits for its `open` and
 * `close`, but the other side closes it as soon as it sees it: one dial in four came too late for an event and timed out
 * (@libp2p/webrtc 6.0.33, initiateConnection). Here the events of that channel reach late listeners, too.
 *
 * Import this before `@libp2p/webrtc`, which takes the platform's class when it is loaded, and restore that afterwards:
 * the page's own connections are none of our business.
 */
const platform = (globalThis as { RTCPeerConnection?: typeof RTCPeerConnection }).RTCPeerConnection;

// Workers have none.
if (platform !== undefined) {
  globalThis.RTCPeerConnection = class extends platform {
    override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
      const channel = super.createDataChannel(label, options);
      if (label === "init") repeatEvents(channel, ["open", "close"]);
      return channel;
    }
  };
}

export function restorePlatform(): void {
  if (platform !== undefined) globalThis.RTCPeerConnection = platform;
}

/** Whoever listens too late hears of it all the same. */
function repeatEvents(target: EventTarget, types: readonly string[]): void {
  const past = new Set<string>();
  const listen = target.addEventListener.bind(target);
  for (const type of types) listen(type, () => past.add(type));
  target.addEventListener = (...[type, listener, options]: Parameters<EventTarget["addEventListener"]>): void => {
    listen(type, listener, options);
    if (past.has(type)) queueMicrotask(() => target.dispatchEvent(new Event(type)));
  };
}
