/**
 * What goes out on a socket beside Node.js, which knows nothing of it: neither counts it nor sees that it moves. Who
 * sends so tells here; who judges a connection asks here.
 */
import type { Socket } from 'node:net';

/** Bytes on their way from where they lie to a socket. */
export interface Motion {
  readonly bytesSent: number;
}

interface Ledger {
  /** Of all that is over. */
  bytes: number;
  current: Motion | undefined;
  /** Of `current`, when it was last asked whether it moves. */
  seen: number;
}

const ledgers = new WeakMap<Socket, Ledger>();

/** Tells that something begins to go out; what is returned ends it. One at a time. */
export function trackBeside(socket: Socket, motion: Motion): Disposable {
  const ledger = ledgers.get(socket) ?? { bytes: 0, current: undefined, seen: 0 };
  ledgers.set(socket, ledger);
  ledger.current = motion;
  ledger.seen = 0;
  // Its time starts anew, as with every write.
  restartTimeout(socket);
  return {
    [Symbol.dispose]: () => {
      ledger.bytes += motion.bytesSent;
      ledger.current = undefined;
    },
  };
}

/** Bytes that `socket.bytesWritten` does not have. */
export function sentBeside(socket: Socket): number {
  const ledger = ledgers.get(socket);
  return ledger ? ledger.bytes + (ledger.current?.bytesSent ?? 0) : 0;
}

/**
 * To be asked when the socket's timeout has run out: whether something is going out beside Node.js, and whether it has
 * moved since that was last asked, or since it began. Where it has, the timeout starts anew.
 */
export function besideOnTimeout(socket: Socket): 'nothing' | 'moving' | 'stuck' {
  const ledger = ledgers.get(socket);
  if (!ledger?.current) return 'nothing';
  const { bytesSent } = ledger.current;
  if (bytesSent === ledger.seen) return 'stuck';
  ledger.seen = bytesSent;
  restartTimeout(socket);
  return 'moving';
}

function restartTimeout(socket: Socket): void {
  socket.setTimeout(socket.timeout ?? 0);
}
