/** Which version replaced which: from left to right; side by side are siblings. */
import { depths, type Version } from "../model/lineage.ts";

const column = 150;
const row = 64;
const box = { width: 126, height: 44 };
/** Characters that fit into it. */
const labelMax = 15;

export function Causality({ versions }: { readonly versions: readonly Version[] }) {
  const places = placesOf(versions);
  const columns = Math.max(0, ...[...places.values()].map(({ x }) => x)) + column;
  const rows = Math.max(0, ...[...places.values()].map(({ y }) => y)) + row;
  if (versions.length === 0) return <p class="empty">Nothing was written to this cart since the page was opened.</p>;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Versions of this cart, oldest first">
      <svg class="causality" width={columns} height={rows} role="img" aria-label={describe(versions)}>
        {versions.flatMap(({ dot, parents }) =>
          parents.flatMap((parent) => {
            const [from, to] = [places.get(parent), places.get(dot)!];
            if (from === undefined) return [];
            const [y1, y2] = [from.y + box.height / 2, to.y + box.height / 2];
            return [<line key={`${parent} ${dot}`} x1={from.x + box.width} y1={y1} x2={to.x} y2={y2} />];
          }),
        )}
        {versions.map(({ dot, label, isLive }) => {
          const { x, y } = places.get(dot)!;
          return (
            <g key={dot} class={isLive ? "version live" : "version"} data-dot={dot} transform={`translate(${x} ${y})`}>
              <rect width={box.width} height={box.height} rx="8" />
              <text x="8" y="18" class="dot-name">
                {shortDot(dot)}
              </text>
              <text x="8" y="35">
                {label.length > labelMax ? `${label.slice(0, labelMax - 1).trimEnd()}…` : label}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

/** The event's name, short enough to compare by eye. */
export function shortDot(dot: string): string {
  const [actor = "", counter = ""] = dot.split(":");
  return `${actor.slice(0, 4)}:${counter}`;
}

function placesOf(versions: readonly Version[]): ReadonlyMap<string, { readonly x: number; readonly y: number }> {
  const depth = depths(versions);
  const used = new Map<number, number>();
  return new Map(
    versions.map(({ dot }) => {
      const level = depth.get(dot) ?? 0;
      const line = used.get(level) ?? 0;
      used.set(level, line + 1);
      return [dot, { x: 4 + level * column, y: 4 + line * row }];
    }),
  );
}

function describe(versions: readonly Version[]): string {
  const live = versions.filter(({ isLive }) => isLive);
  const what = live.map(({ dot, label }) => `${shortDot(dot)}: ${label}`).join("; ");
  return `${versions.length} versions, ${live.length} of them live: ${what}`;
}
