/*
 * Sends parts of files to sockets by sendfile(2), on a few threads of its own, each of which waits with epoll(7) for all
 * of its sockets: a slow receiver holds no thread. Knows nothing of Node.js.
 */
#ifndef ENTREPOT_SENDER_H
#define ENTREPOT_SENDER_H

#include <stdint.h>

struct sender;
struct transfer;

/*
 * Called once for each transfer, on a thread of the sender, when it is over and both descriptors are let go of:
 * `transfer_sent` says how far it got. Short of its end, it was cancelled, or the file or the socket failed.
 */
typedef void (*transfer_done)(struct transfer *transfer, void *owner, uint32_t id);

/* NULL where there is no memory. Threads are started as they are needed. */
struct sender *sender_open(transfer_done done, void *owner);

/*
 * Begins to send the bytes from `position` up to `end`. Both descriptors are duplicated, so that they may be closed at
 * any time; the socket has to be one that does not block. NULL where the system has no more descriptors or threads.
 * All but `done` is called by the one thread that opened the sender.
 */
struct transfer *sender_start(struct sender *sender, int socket, int file, int64_t position, int64_t end, uint32_t id);

/* Has it end soon; `done` is called all the same. To be called before that only. */
void transfer_cancel(struct transfer *transfer);

/* How many bytes the kernel has taken. */
int64_t transfer_sent(const struct transfer *transfer);

/* To be called after `done`. */
void transfer_free(struct transfer *transfer);

/* Ends every transfer, and returns when the threads are gone. */
void sender_close(struct sender *sender);

#endif
