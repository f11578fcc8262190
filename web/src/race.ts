/** The race of Ann and Bob, judged by what the server has measured: when each job was accepted and when it started. */

export interface Lap {
  /** When the jobs of Ann started, in ms since 1970. */
  ann: readonly number[];
  bobAccepted: number;
  bobStarted: number;
  /** Processes of all workers, and how many jobs of Ann may run at once. */
  processes: number;
  slots: number;
}

export interface Verdict {
  bobMs: number;
  /** Ann's jobs that had not started when Bob's was accepted. */
  ahead: number;
  /** Starts a second of those. */
  rate: number;
  /** How many times as fast a single queue could be: Ann's slots may be fewer than the processes. */
  speedUp: number;
  singleMs: number;
  /** Of Bob among all starts, from 1. */
  place: number;
}

/** What a single queue would have made of it: the jobs ahead of Bob's, at the rate at which they did start. */
export function verdict({ ann, bobAccepted, bobStarted, processes, slots }: Lap): Verdict {
  const later = ann.filter((start) => start > bobAccepted);
  const last = Math.max(bobAccepted, ...later);
  const rate = later.length ? later.length / Math.max(0.001, (last - bobAccepted) / 1000) : 0;
  const speedUp = Math.max(1, processes / Math.max(1, slots));
  return {
    bobMs: bobStarted - bobAccepted,
    ahead: later.length,
    rate,
    speedUp,
    singleMs: rate ? (later.length / (rate * speedUp)) * 1000 : 0,
    place: ann.filter((start) => start < bobStarted).length + 1,
  };
}
