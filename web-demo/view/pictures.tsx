/**
 * The pictures of the articles: drawn for this shop on a square of 100, in five colours that the style sheet names, so that
 * they are dark at night.
 */
import type { ComponentChild } from "preact";

/** By id of the article. Decoration: the name stands beside each. */
export function Picture({ of, size = 100 }: { readonly of: string; readonly size?: number }) {
  return (
    <svg class="picture" viewBox="0 0 100 100" width={size} height={size} aria-hidden="true">
      <circle class="p-back" cx="50" cy="52" r="42" />
      {drawings[of] ?? parcel}
    </svg>
  );
}

const parcel: ComponentChild = (
  <g>
    <rect class="p-wood" x="28" y="34" width="44" height="38" rx="4" />
    <path class="p-line" d="M28 48h44M50 34v38" />
  </g>
);

const drawings: Readonly<Record<string, ComponentChild>> = {
  book: (
    <g>
      <path class="p-warm" d="M28 28h36a6 6 0 0 1 6 6v40H34a6 6 0 0 1-6-6z" />
      <path class="p-light" d="M34 64h36v10H34a5 5 0 0 1 0-10z" />
      <path class="p-line" d="M40 40h18M40 48h12" />
    </g>
  ),
  pen: (
    <g transform="rotate(40 50 50)">
      <rect class="p-cool" x="44" y="20" width="12" height="42" rx="3" />
      <path class="p-sun" d="M44 62h12l-6 16z" />
      <path class="p-line" d="M50 78v4M44 30h12M56 24v14" />
    </g>
  ),
  lamp: (
    <g>
      <path class="p-sun" d="M36 46L44 24h20l10 22z" />
      <path class="p-line" d="M55 46v28" />
      <path class="p-wood" d="M40 80a15 8 0 0 1 30 0z" />
      <circle class="p-light" cx="55" cy="49" r="6" />
    </g>
  ),
  clock: (
    <g>
      <circle class="p-warm" cx="50" cy="52" r="26" />
      <circle class="p-light" cx="50" cy="52" r="20" />
      <path class="p-line" d="M50 40v12l9 6M36 24l-6 6M64 24l6 6" />
    </g>
  ),
  tea: (
    <g>
      <path class="p-leaf" d="M32 34h36v42a4 4 0 0 1-4 4H36a4 4 0 0 1-4-4z" />
      <rect class="p-wood" x="30" y="26" width="40" height="10" rx="3" />
      <circle class="p-light" cx="50" cy="58" r="12" />
      <path class="p-leaf" d="M50 64c-8-4-7-11 0-14 7 3 8 10 0 14z" />
    </g>
  ),
  cup: (
    <g>
      <path class="p-cool" d="M30 42h36v20a14 14 0 0 1-14 14h-8a14 14 0 0 1-14-14z" />
      <path class="p-line" d="M66 48h5a7 7 0 0 1 0 14h-6M42 34c-4-5 4-7 0-12M54 34c-4-5 4-7 0-12" />
    </g>
  ),
  jam: (
    <g>
      <rect class="p-sun" x="32" y="38" width="36" height="40" rx="7" />
      <rect class="p-warm" x="34" y="26" width="32" height="12" rx="3" />
      <rect class="p-light" x="38" y="50" width="24" height="16" rx="2" />
      <path class="p-line" d="M43 58h14" />
    </g>
  ),
  pot: (
    <g>
      <path class="p-warm" d="M28 46h44v20a10 10 0 0 1-10 10H38a10 10 0 0 1-10-10z" />
      <path class="p-wood" d="M26 38h48v8H26z" />
      <path class="p-line" d="M50 38v-8M20 54h8M72 54h8M44 30h12" />
    </g>
  ),
  map: (
    <g>
      <path class="p-light" d="M24 34l17-6v44l-17 6z" />
      <path class="p-leaf" d="M41 28l18 6v44l-18-6z" />
      <path class="p-light" d="M59 34l17-6v44l-17 6z" />
      <path class="p-line" d="M30 62c8-14 16 4 24-8s8-10 16-14" />
      <circle class="p-warm" cx="68" cy="42" r="4" />
    </g>
  ),
  kite: (
    <g>
      <path class="p-cool" d="M56 18l18 24-26 22-14-28z" />
      <path class="p-sun" d="M56 18l-8 46 26-22z" />
      <path class="p-line" d="M48 64c-4 8-14 2-14 12s-8 4-10 8" />
    </g>
  ),
  rope: (
    <g>
      <circle class="p-ring" cx="50" cy="50" r="22" />
      <circle class="p-ring" cx="50" cy="54" r="14" />
      <path class="p-ring" d="M66 66l8 14" />
    </g>
  ),
  umbrella: (
    <g>
      <path class="p-rose" d="M22 52a28 28 0 0 1 56 0c-5-5-9-5-14 0-5-5-9-5-14 0-5-5-9-5-14 0-5-5-9-5-14 0z" />
      <path class="p-line" d="M50 24v-5M50 52v22a6 6 0 0 0 12 0" />
    </g>
  ),
  soap: (
    <g>
      <rect class="p-rose" x="26" y="46" width="48" height="26" rx="12" />
      <path class="p-line" d="M38 60c6-8 18 4 24-4" />
      <circle class="p-light" cx="38" cy="34" r="6" />
      <circle class="p-light" cx="54" cy="28" r="8" />
      <circle class="p-light" cx="67" cy="36" r="4" />
    </g>
  ),
  sock: (
    <g>
      <path class="p-warm" d="M36 22h20v28l16 12a9 9 0 0 1-10 16L40 66a9 9 0 0 1-4-8z" />
      <path class="p-light" d="M36 22h20v8H36z" />
      <path class="p-line" d="M36 38h20M36 46h20" />
    </g>
  ),
  plant: (
    <g>
      <path class="p-leaf" d="M50 54c-18-2-22-16-18-26 14 2 20 12 18 26z" />
      <path class="p-leaf" d="M50 54c-2-16 8-28 22-28 2 14-6 28-22 28z" />
      <path class="p-wood" d="M36 56h28l-5 22H41z" />
    </g>
  ),
  bell: (
    <g>
      <path class="p-sun" d="M50 24c14 0 18 12 18 26l6 14H26l6-14c0-14 4-26 18-26z" />
      <circle class="p-wood" cx="50" cy="71" r="6" />
      <path class="p-line" d="M50 24v-5M40 56h20" />
    </g>
  ),
};
