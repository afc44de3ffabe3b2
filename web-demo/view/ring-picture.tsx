/**
 * The ring: a quiet band, each partition a stripe in the colour of the host that has its token; this key's place on it; and
 * the walk from there, which gives its owners.
 */
import type { Explanation, RingView } from "everwrite";
import { useMemo } from "preact/hooks";

const size = 360;
const centre = size / 2;
const outer = 152;
const inner = 134;
/** The key's own stripe would be a hair: it is drawn so much wider on both sides, turns. */
const keyWidening = 0.006;
/** Of hosts that have come already, the walk shows up to so many tokens. */
const walkMax = 12;

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
  const described = `${partitions} partitions on ${stripes.size} ${stripes.size === 1 ? "host" : "hosts"}. ${
    explanation === undefined ? "" : `This cart is in partition ${explanation.partition}.`
  }`;
  return (
    <div class="ring-side">
      <svg class="ring" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={described}>
        <g class="band">
          {[...stripes].map(([id, path]) => (
            <path key={id} d={path} fill={colourOf(id)} data-host={id} />
          ))}
        </g>
        {explanation !== undefined && <KeyMark {...explanation} ring={ring} colourOf={colourOf} />}
        <text class="ring-title" x={centre} y={centre - 4}>
          {explanation === undefined ? "" : `partition ${explanation.partition}`}
        </text>
        <text x={centre} y={centre + 22}>
          of {partitions}, each on {Math.min(n, stripes.size)} {stripes.size === 1 ? "host" : "hosts"}
        </text>
      </svg>
      {explanation !== undefined && <Walk ring={ring} explanation={explanation} colourOf={colourOf} nameOf={nameOf} />}
    </div>
  );
}

/** From the middle out to the stripe that the key falls on, which is drawn large. */
function KeyMark({ partition, ring, colourOf }: Explanation & Pick<RingPictureProps, "ring" | "colourOf">) {
  const { partitions, tokens } = ring;
  const from = partition / partitions - keyWidening;
  const to = (partition + 1) / partitions + keyWidening;
  const middle = (from + to) / 2;
  const [x0, y0] = pointAt(middle, inner - 46);
  const [x1, y1] = pointAt(middle, inner - 14);
  const host = tokens[partition];
  return (
    <g class="key-mark" data-partition={partition}>
      <line x1={x0} y1={y0} x2={x1} y2={y1} />
      <circle cx={x0} cy={y0} r="6" />
      <polygon points={cornersOf(from, to, inner - 10, outer + 14).join(" ")} fill={host ? colourOf(host) : "none"} />
    </g>
  );
}

interface WalkProps extends Omit<RingPictureProps, "explanation"> {
  readonly explanation: Explanation;
}

/** Clockwise from the key: the first tokens of N distinct hosts make its preference list. */
function Walk({ ring: { partitions, tokens }, explanation, colourOf, nameOf }: WalkProps) {
  const { partition, preferenceList } = explanation;
  const owners = preferenceList.filter(({ role }) => role === "owner");
  const walk = Array.from({ length: partitions }, (_, step) => (partition + step) % partitions);
  const firsts = owners.map(({ id }) => walk.findIndex((at) => tokens[at] === id));
  const shown = walk
    .map((at, step) => ({ at, step, rank: firsts.indexOf(step) }))
    .filter(({ step, rank }) => rank !== -1 || step < Math.min(walkMax, Math.max(...firsts)));
  return (
    <ol class="walk" aria-label="The walk around the ring from this key">
      {shown.map(({ at, rank }) => {
        const id = tokens[at] ?? "";
        const isAway = owners[rank]?.alive === false;
        return (
          <li
            key={at}
            class={rank === -1 ? "passed" : isAway ? "owner gone" : "owner"}
            style={{ borderColor: id === "" ? "transparent" : colourOf(id) }}
            {...(rank !== -1 && { "data-owner": id })}
          >
            <span class="token">{at}</span>
            <strong>{id === "" ? "free" : nameOf(id)}</strong>
            <span>{rank === -1 ? "again" : isAway ? `${rank + 1}., away` : `${rank + 1}. copy`}</span>
          </li>
        );
      })}
    </ol>
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
  return `M${cornersOf(from, to, inner, outer).join("L")}Z`;
}

/** "x,y" each, of a piece of the band. */
function cornersOf(from: number, to: number, least: number, most: number): readonly string[] {
  return [pointAt(from, least), pointAt(from, most), pointAt(to, most), pointAt(to, least)].map(
    ([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`,
  );
}

/** `turn`: 0 is above, 0.25 right. */
function pointAt(turn: number, radius: number): readonly [x: number, y: number] {
  const angle = 2 * Math.PI * (turn - 0.25);
  return [centre + radius * Math.cos(angle), centre + radius * Math.sin(angle)];
}
