/** The ring: each partition a stripe in the colour of the host that has its token, and where this key is. */
import type { Explanation, RingView } from "everwrite";
import { useMemo } from "preact/hooks";

const size = 360;
const centre = size / 2;
const outer = 150;
const inner = 118;

interface RingPictureProps {
  readonly ring: RingView;
  readonly explanation: Explanation | undefined;
  /** Of a host. */
  readonly colourOf: (id: string) => string;
  readonly nameOf: (id: string) => string;
}

export function RingPicture({ ring, explanation, colourOf, nameOf }: RingPictureProps) {
  const { partitions, tokens, fingerprint, n } = ring;
  const stripes = useMemo(() => stripesByHost(tokens, partitions), [fingerprint]);
  const owners = explanation?.preferenceList.filter(({ role }) => role === "owner") ?? [];
  const described = `${partitions} partitions on ${stripes.size} hosts. ${
    explanation === undefined ? "" : `This cart is in partition ${explanation.partition}.`
  }`;
  return (
    <svg class="ring" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={described}>
      {[...stripes].map(([id, path]) => (
        <path key={id} d={path} fill={colourOf(id)} data-host={id} />
      ))}
      {explanation !== undefined && <KeyMark partition={explanation.partition} partitions={partitions} />}
      <text class="ring-title" x={centre} y={centre - 36}>
        {partitions} partitions, N={n}
      </text>
      {owners.map(({ id, alive }, index) => (
        <text key={id} x={centre} y={centre - 8 + index * 22} class={alive ? "" : "gone"}>
          {index + 1}. {nameOf(id)}
          {alive ? "" : " (away)"}
        </text>
      ))}
    </svg>
  );
}

/** From the middle out to the stripe that the key falls on. */
function KeyMark({ partition, partitions }: { readonly partition: number; readonly partitions: number }) {
  const [x, y] = pointAt((partition + 0.5) / partitions, outer + 14);
  const [x0, y0] = pointAt((partition + 0.5) / partitions, inner - 6);
  return (
    <g class="key-mark" data-partition={partition}>
      <line x1={x0} y1={y0} x2={x} y2={y} />
      <circle cx={x} cy={y} r="6" />
    </g>
  );
}

/** One path for each host: thousands of elements would be slow. */
function stripesByHost(tokens: readonly (string | null)[], partitions: number): ReadonlyMap<string, string> {
  const paths = new Map<string, string[]>();
  for (const [partition, host] of tokens.entries()) {
    if (host === null) continue;
    const stripe = stripeOf(partition / partitions, (partition + 1) / partitions);
    const stripes = paths.get(host);
    if (stripes === undefined) paths.set(host, [stripe]);
    else stripes.push(stripe);
  }
  return new Map(
    [...paths].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([host, stripes]) => [host, stripes.join("")]),
  );
}

function stripeOf(from: number, to: number): string {
  const corners = [pointAt(from, inner), pointAt(from, outer), pointAt(to, outer), pointAt(to, inner)];
  return `M${corners.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L")}Z`;
}

/** `turn`: 0 is above, 0.25 right. */
function pointAt(turn: number, radius: number): readonly [x: number, y: number] {
  const angle = 2 * Math.PI * (turn - 0.25);
  return [centre + radius * Math.cos(angle), centre + radius * Math.sin(angle)];
}
