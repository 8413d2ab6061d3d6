/*
 * A relay in front of an upstream that lets only so many bytes through in a second, for each connection or for all of
 * them together: it stands for the line to a registry far away.
 *
 *   throttle UPSTREAM_PORT PER_CONNECTION TOTAL      bytes per second, 0 for no limit
 *
 * Prints the port on which it listens, on 127.0.0.1. Ends at the end of its standard input, so that it never outlives
 * whoever started it.
 *
 * One thread, token buckets, and splice(2): bytes go from socket to socket without being copied here, because it shares
 * two cores with what is measured. Only what comes from the upstream is limited; requests are small.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024, TICK_MS = 5, MAX_EVENTS = 256 };
/* Fewer tokens than that are left to grow: passing on every packet by itself costs a third more processor time. */
static const double LEAST_TOKENS = 512 * 1024;
/* What a bucket that nobody drew from holds at most: enough to make up for being scheduled late on a busy machine. */
static const double BURST_SECONDS = 0.1;

struct bucket {
  double rate; /* 0: no limit */
  double tokens;
};

/* One direction. Edge-triggered: a side that was found not ready is tried again when it reports. */
struct flow {
  int from, to;
  int pipe[2];
  size_t held; /* in the pipe */
  int has_ended, is_shut;
};

struct relay {
  int client, upstream;
  struct flow up, down;
  struct bucket bucket;
  int is_starved; /* stopped for lack of tokens, not of bytes */
  int is_broken;
  struct relay *next;
};

static struct relay *relays;
static struct bucket everyone;
static double per_connection;
static int upstream_port;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static size_t allowed(const struct bucket *bucket, size_t wanted) {
  if (bucket->rate == 0) return wanted;
  double burst = bucket->rate * BURST_SECONDS;
  if (bucket->tokens < (burst / 2 < LEAST_TOKENS ? burst / 2 : LEAST_TOKENS)) return 0;
  return bucket->tokens < (double)wanted ? (size_t)bucket->tokens : wanted;
}

static void refill(struct bucket *bucket, double seconds) {
  bucket->tokens += bucket->rate * seconds;
  if (bucket->tokens > bucket->rate * BURST_SECONDS) bucket->tokens = bucket->rate * BURST_SECONDS;
}

/* How many bytes went in, at most one pipe's worth; -1 where the connection broke. */
static ssize_t fill(struct flow *flow, size_t limit) {
  if (flow->has_ended || limit == 0) return 0;
  ssize_t count = splice(flow->from, NULL, flow->pipe[1], NULL, limit, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (count > 0) flow->held += (size_t)count;
  if (count == 0) flow->has_ended = 1;
  return count < 0 && errno == EAGAIN ? 0 : count;
}

static ssize_t drain(struct flow *flow) {
  if (flow->held == 0) return 0;
  ssize_t count = splice(flow->pipe[0], NULL, flow->to, NULL, flow->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (count > 0) flow->held -= (size_t)count;
  return count < 0 && errno == EAGAIN ? 0 : count;
}

static int finish(struct flow *flow) {
  if (!flow->has_ended || flow->held > 0 || flow->is_shut) return 0;
  flow->is_shut = 1;
  return shutdown(flow->to, SHUT_WR);
}

static void pump_up(struct relay *relay) {
  ssize_t in, out;
  do {
    in = fill(&relay->up, PIPE_BYTES);
    out = drain(&relay->up);
    if (in < 0 || out < 0) relay->is_broken = 1;
  } while (!relay->is_broken && (in > 0 || out > 0));
  if (finish(&relay->up) < 0) relay->is_broken = 1;
}

/* Moves one pipe's worth. True where it moved something: more may follow, after everyone else had a turn. */
static int pump_down(struct relay *relay) {
  struct flow *flow = &relay->down;
  size_t room = flow->held < PIPE_BYTES ? PIPE_BYTES - flow->held : 0;
  size_t limit = allowed(&everyone, allowed(&relay->bucket, room));
  relay->is_starved = room > 0 && limit == 0 && !flow->has_ended;
  ssize_t in = fill(flow, limit);
  if (in > 0) relay->bucket.tokens -= (double)in, everyone.tokens -= (double)in;
  ssize_t out = drain(flow);
  if (in < 0 || out < 0 || finish(flow) < 0) relay->is_broken = 1;
  return !relay->is_broken && (in > 0 || out > 0);
}

static void tune(int socket) {
  int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int connect_upstream(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)upstream_port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (upstream < 0) die("socket");
  /* Loopback: it is there at once or not at all. */
  if (connect(upstream, (struct sockaddr *)&address, sizeof address) < 0) {
    close(upstream);
    return -1;
  }
  fcntl(upstream, F_SETFL, O_NONBLOCK);
  tune(upstream);
  return upstream;
}

static void open_flow(struct flow *flow, int from, int to) {
  *flow = (struct flow){.from = from, .to = to};
  if (pipe2(flow->pipe, O_NONBLOCK | O_CLOEXEC) < 0) die("pipe2");
  /* Without room for more, what the system gives anybody has to do. */
  fcntl(flow->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
}

static void watch(int poller, int socket, struct relay *relay) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = relay};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) < 0) die("epoll_ctl");
}

static void accept_all(int poller, int listener) {
  int client;
  while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int upstream = connect_upstream();
    if (upstream < 0) {
      close(client);
      continue;
    }
    tune(client);
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL) die("calloc");
    relay->client = client;
    relay->upstream = upstream;
    relay->bucket = (struct bucket){.rate = per_connection, .tokens = per_connection * BURST_SECONDS};
    open_flow(&relay->up, client, upstream);
    open_flow(&relay->down, upstream, client);
    relay->next = relays;
    relays = relay;
    watch(poller, client, relay);
    watch(poller, upstream, relay);
  }
}

static void close_relay(struct relay *relay) {
  close(relay->client);
  close(relay->upstream);
  for (int side = 0; side < 2; side++) {
    close(relay->up.pipe[side]);
    close(relay->down.pipe[side]);
  }
  free(relay);
}

/* Only between two rounds of events, when nothing points to a relay but the list. */
static void sweep(void) {
  for (struct relay **at = &relays; *at != NULL;) {
    struct relay *relay = *at;
    /* An upstream that has ended its connection takes no request either. */
    if (relay->is_broken || relay->down.is_shut) {
      *at = relay->next;
      close_relay(relay);
    } else {
      at = &relay->next;
    }
  }
}

/* Who is first rotates, for otherwise one connection would take the tokens of all. */
static void rotate(void) {
  if (relays == NULL || relays->next == NULL) return;
  struct relay *first = relays, *last = relays;
  while (last->next != NULL) last = last->next;
  relays = first->next;
  first->next = NULL;
  last->next = first;
}

/* True where somebody waits for tokens. */
static int pump_all(void) {
  int is_moving, is_starving = 0;
  do {
    is_moving = is_starving = 0;
    for (struct relay *relay = relays; relay != NULL; relay = relay->next) {
      if (relay->is_broken) continue;
      is_moving |= pump_down(relay);
      is_starving |= relay->is_starved;
    }
    rotate();
  } while (is_moving);
  return is_starving;
}

static int listen_anywhere(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 512) < 0) die("listen");
  if (getsockname(listener, (struct sockaddr *)&address, &length) < 0) die("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: throttle UPSTREAM_PORT PER_CONNECTION TOTAL\n");
    return 2;
  }
  upstream_port = atoi(argv[1]);
  per_connection = atof(argv[2]);
  everyone.rate = atof(argv[3]);
  signal(SIGPIPE, SIG_IGN);
  int poller = epoll_create1(EPOLL_CLOEXEC), listener = listen_anywhere();
  struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &relays};
  struct epoll_event standing = {.events = EPOLLIN | EPOLLHUP, .data.ptr = NULL};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening) < 0) die("epoll_ctl");
  if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &standing) < 0) die("epoll_ctl");
  double last = now();
  for (int is_starving = 0;;) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(poller, events, MAX_EVENTS, is_starving ? TICK_MS : -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == NULL) return 0;
      if (events[i].data.ptr == &relays) accept_all(poller, listener);
      else pump_up(events[i].data.ptr);
    }
    double at = now(), seconds = at - last;
    last = at;
    refill(&everyone, seconds);
    for (struct relay *relay = relays; relay != NULL; relay = relay->next) refill(&relay->bucket, seconds);
    is_starving = pump_all();
    sweep();
  }
}
