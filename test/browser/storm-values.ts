/** Values that name their write, so that each can be told, and seen to be whole, wherever it is found. */

export function valueOf(id: string, bytes: number): string {
  return `${id} `.padEnd(bytes, id);
}

export function idOf(value: string): string {
  return value.slice(0, value.indexOf(" "));
}
