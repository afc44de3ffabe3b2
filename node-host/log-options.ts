/** What the log can be told; apart from the log itself, so that reading options loads no logger. */
export const logFormats = ["pretty", "json"] as const;
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;

export interface LogOptions {
  readonly format: (typeof logFormats)[number];
  readonly level: (typeof logLevels)[number];
}
