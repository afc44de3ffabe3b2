/** Loaded into a process before anything else (`--import`): its wall clock is ahead by `CLOCK_OFF_MS`. */
const offMs = Number(process.env["CLOCK_OFF_MS"]);
const rightMs = Date.now;

Date.now = () => rightMs() + offMs;
