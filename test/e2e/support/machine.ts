/** Command lines that run a program as if it had a machine of its own, of which nothing is left when it ends. */

export interface Machine {
  readonly hostname: string;
  /** A named network namespace; without one, the program shares the network of the tests. */
  readonly network?: string | undefined;
}

export function inNetwork(network: string | undefined, argv: readonly string[]): string[] {
  // Not `ip netns exec`: that mounts a fresh /sys, and takes the control groups away from dockerd.
  return network === undefined ? [...argv] : ['nsenter', `--net=/run/netns/${network}`, ...argv];
}

/**
 * The program becomes process 1 of its own process namespace: when it ends, however it does, the kernel ends every
 * shim and container that it started, and the mounts go with their namespace. `setpriv` ends it with the tests.
 */
export function onMachine(machine: Machine, argv: readonly string[]): string[] {
  return inNetwork(machine.network, [
    ...['setpriv', '--pdeathsig', 'KILL'],
    ...['unshare', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'],
    ...['sh', '-c', 'hostname "$0" && exec "$@"', machine.hostname],
    ...argv,
  ]);
}
