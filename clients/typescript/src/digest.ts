import { sha256 } from "@noble/hashes/sha2";
import type { Schemas } from "./client.js";

/** What the live records of one type come to: the same on two devices exactly if they hold the same versions. */
export function digest(versions: Iterable<readonly [key: string, updatedAt: number]>): Schemas["TypeDigest"] {
  let [count, sum] = [0, 0n];
  for (const [key, updatedAt] of versions) {
    const hash = sha256(`${key} ${updatedAt}`);
    sum += new DataView(hash.buffer, hash.byteOffset).getBigUint64(0);
    count += 1;
  }
  return { count, hash: BigInt.asUintN(64, sum).toString(16).padStart(16, "0") };
}
