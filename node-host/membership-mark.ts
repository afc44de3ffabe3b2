/**
 * Remembers beside the identity which cluster it is a member of, so that a member whose data is lost does not found a
 * second cluster of that name, in which everything would be absent.
 */
import { readFile, writeFile } from "node:fs/promises";

export class MembershipMark {
  readonly #path: string;

  constructor(identityFile: string) {
    this.#path = `${identityFile}.member`;
  }

  async isMemberOf(cluster: string): Promise<boolean> {
    try {
      return (await readFile(this.#path, "utf8")).trim() === cluster;
    } catch (error: unknown) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  async note(cluster: string): Promise<void> {
    if (!(await this.isMemberOf(cluster))) await writeFile(this.#path, `${cluster}\n`);
  }
}
