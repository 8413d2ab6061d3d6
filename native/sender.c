#define _GNU_SOURCE

#include "sender.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define MAX_WORKERS 4
#define MAX_EVENTS 64
/* What one transfer sends before the next one of its thread has its turn. */
#define TURN_BYTES (1024 * 1024)

struct transfer {
  struct worker *worker;
  int socket;
  int file;
  int64_t start;
  int64_t end;
  uint32_t id;
  _Atomic int64_t position;
  atomic_bool is_cancelled;
  /* The rest is the thread's own. */
  bool is_watched;
  bool is_ready;
  struct transfer *next_ready;
  struct transfer *next;
  struct transfer *previous;
};

struct worker {
  struct sender *sender;
  pthread_t thread;
  int epoll;
  /* An eventfd: there is a transfer in the inbox, or one is cancelled, or it is to end. */
  int wake;
  _Atomic(struct transfer *) inbox;
  atomic_bool is_closing;
  atomic_uint load;
  /* The rest is the thread's own. */
  struct transfer *all;
  struct transfer *first_ready;
  struct transfer *last_ready;
};

struct sender {
  transfer_done done;
  void *owner;
  unsigned max_workers;
  unsigned workers_count;
  struct worker workers[MAX_WORKERS];
};

static void push_ready(struct worker *worker, struct transfer *transfer) {
  transfer->is_ready = true;
  transfer->next_ready = NULL;
  if (worker->last_ready != NULL) worker->last_ready->next_ready = transfer;
  else worker->first_ready = transfer;
  worker->last_ready = transfer;
}

static struct transfer *pop_ready(struct worker *worker) {
  struct transfer *transfer = worker->first_ready;
  worker->first_ready = transfer->next_ready;
  if (worker->first_ready == NULL) worker->last_ready = NULL;
  transfer->is_ready = false;
  return transfer;
}

/* Nothing of the transfer may be touched after it. */
static void finish(struct worker *worker, struct transfer *transfer) {
  if (transfer->previous != NULL) transfer->previous->next = transfer->next;
  else worker->all = transfer->next;
  if (transfer->next != NULL) transfer->next->previous = transfer->previous;
  /* Closing is not enough: another descriptor of the same socket would keep it in the set. */
  if (transfer->is_watched) epoll_ctl(worker->epoll, EPOLL_CTL_DEL, transfer->socket, NULL);
  close(transfer->socket);
  close(transfer->file);
  atomic_fetch_sub(&worker->load, 1);
  worker->sender->done(transfer, worker->sender->owner, transfer->id);
}

/* Waits until the socket has room. */
static bool watch(struct worker *worker, struct transfer *transfer) {
  struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = transfer};
  int operation = transfer->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  transfer->is_watched = true;
  return epoll_ctl(worker->epoll, operation, transfer->socket, &event) == 0;
}

static void take_turn(struct worker *worker, struct transfer *transfer) {
  if (atomic_load(&transfer->is_cancelled)) {
    finish(worker, transfer);
    return;
  }
  off_t position = atomic_load(&transfer->position);
  int64_t left = transfer->end - position;
  size_t wanted = left < TURN_BYTES ? (size_t)left : TURN_BYTES;
  ssize_t count = sendfile(transfer->socket, transfer->file, &position, wanted);
  if (count > 0) {
    atomic_store(&transfer->position, position);
    if (position == transfer->end) finish(worker, transfer);
    else if ((size_t)count == wanted) push_ready(worker, transfer);
    else if (!watch(worker, transfer)) finish(worker, transfer);
  } else if (count < 0 && errno == EINTR) {
    push_ready(worker, transfer);
  } else if (count == 0 || errno != EAGAIN || !watch(worker, transfer)) {
    /* The file ends, or either of them is broken: whoever reads and writes them next learns which. */
    finish(worker, transfer);
  }
}

static void take_inbox(struct worker *worker) {
  struct transfer *transfer = atomic_exchange(&worker->inbox, NULL);
  while (transfer != NULL) {
    struct transfer *next = transfer->next;
    transfer->next = worker->all;
    if (worker->all != NULL) worker->all->previous = transfer;
    worker->all = transfer;
    push_ready(worker, transfer);
    transfer = next;
  }
}

static void end_cancelled(struct worker *worker, bool is_closing) {
  struct transfer *transfer = worker->all;
  while (transfer != NULL) {
    struct transfer *next = transfer->next;
    /* Those that are ready have a turn at once, and end then. */
    if (is_closing) atomic_store(&transfer->is_cancelled, true);
    if (!transfer->is_ready && atomic_load(&transfer->is_cancelled)) finish(worker, transfer);
    transfer = next;
  }
}

static void *run(void *argument) {
  struct worker *worker = argument;
  struct epoll_event events[MAX_EVENTS];
  bool is_closing = false;
  while (!is_closing || worker->all != NULL) {
    int count = epoll_wait(worker->epoll, events, MAX_EVENTS, worker->first_ready != NULL ? 0 : -1);
    bool is_woken = false;
    for (int index = 0; index < count; index += 1) {
      if (events[index].data.ptr == NULL) is_woken = true;
      else push_ready(worker, events[index].data.ptr);
    }
    /* After the events, none of which may name a transfer that is over. */
    if (is_woken) {
      uint64_t times;
      if (read(worker->wake, &times, sizeof times) < 0) times = 0;
      is_closing = atomic_load(&worker->is_closing);
      take_inbox(worker);
      end_cancelled(worker, is_closing);
    }
    struct transfer *last = worker->last_ready;
    for (struct transfer *transfer = NULL; last != NULL && transfer != last;) {
      transfer = pop_ready(worker);
      take_turn(worker, transfer);
    }
  }
  return NULL;
}

static void wake(struct worker *worker) {
  uint64_t once = 1;
  /* It fails only where it is awake already, 2^64 - 2 times. */
  if (write(worker->wake, &once, sizeof once) < 0) return;
}

static bool open_worker(struct sender *sender, struct worker *worker) {
  worker->sender = sender;
  worker->epoll = epoll_create1(EPOLL_CLOEXEC);
  worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (worker->epoll >= 0 && worker->wake >= 0 &&
      epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event) == 0) {
    /* Signals are for the threads that expect them. */
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    int failure = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure == 0) return true;
  }
  if (worker->epoll >= 0) close(worker->epoll);
  if (worker->wake >= 0) close(worker->wake);
  return false;
}

/* The one with the least to do, or a new one where all have something and more are allowed. */
static struct worker *choose_worker(struct sender *sender) {
  struct worker *least = NULL;
  for (unsigned index = 0; index < sender->workers_count; index += 1) {
    struct worker *worker = &sender->workers[index];
    if (least == NULL || atomic_load(&worker->load) < atomic_load(&least->load)) least = worker;
  }
  if (least != NULL && (atomic_load(&least->load) == 0 || sender->workers_count == sender->max_workers)) return least;
  struct worker *fresh = &sender->workers[sender->workers_count];
  if (!open_worker(sender, fresh)) return least;
  sender->workers_count += 1;
  return fresh;
}

struct sender *sender_open(transfer_done done, void *owner) {
  struct sender *sender = calloc(1, sizeof *sender);
  if (sender == NULL) return NULL;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  sender->max_workers = processors < 1 ? 1 : processors > MAX_WORKERS ? MAX_WORKERS : (unsigned)processors;
  sender->done = done;
  sender->owner = owner;
  return sender;
}

struct transfer *sender_start(struct sender *sender, int socket, int file, int64_t position, int64_t end, uint32_t id) {
  struct transfer *transfer = calloc(1, sizeof *transfer);
  if (transfer == NULL) return NULL;
  transfer->socket = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  transfer->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
  struct worker *worker =
      transfer->socket >= 0 && transfer->file >= 0 ? choose_worker(sender) : NULL;
  if (worker == NULL) {
    if (transfer->socket >= 0) close(transfer->socket);
    if (transfer->file >= 0) close(transfer->file);
    free(transfer);
    return NULL;
  }
  transfer->worker = worker;
  transfer->start = position;
  transfer->end = end;
  transfer->id = id;
  atomic_init(&transfer->position, position);
  atomic_fetch_add(&worker->load, 1);
  transfer->next = atomic_load(&worker->inbox);
  while (!atomic_compare_exchange_weak(&worker->inbox, &transfer->next, transfer)) continue;
  wake(worker);
  return transfer;
}

void transfer_cancel(struct transfer *transfer) {
  atomic_store(&transfer->is_cancelled, true);
  wake(transfer->worker);
}

int64_t transfer_sent(const struct transfer *transfer) { return atomic_load(&transfer->position) - transfer->start; }

void transfer_free(struct transfer *transfer) { free(transfer); }

void sender_close(struct sender *sender) {
  for (unsigned index = 0; index < sender->workers_count; index += 1) {
    struct worker *worker = &sender->workers[index];
    atomic_store(&worker->is_closing, true);
    wake(worker);
  }
  for (unsigned index = 0; index < sender->workers_count; index += 1) {
    struct worker *worker = &sender->workers[index];
    pthread_join(worker->thread, NULL);
    close(worker->epoll);
    close(worker->wake);
  }
  free(sender);
}
