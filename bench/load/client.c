/*
 * A load client that is not the bottleneck: one thread, epoll, any number of connections; bodies are dropped in the
 * kernel where there is no TLS. Its flags and its plan are described in client.ts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define READ_MAX (1 << 20)
/* What one connection may read before the others get their turn. */
#define TURN_MAX (4 << 20)
#define SLOW_BUFFER (64 << 10)

enum { GET, HEAD };

struct request {
  int method;
  int stage;
  char *path;
  struct request *next;
};

/* A client as one thinks of it: requests in stages, over a few connections. */
struct puller {
  double rate; /* bytes a second on each connection; 0: as fast as it goes */
  struct request *requests, *todo;
  struct connection *connections;
  int connection_count;
  int stage, in_flight;
  long long bytes;
  double first_byte, finished; /* seconds since the begin; negative: not yet */
  int errors;
};

struct connection {
  struct puller *puller;
  int fd; /* -1: not connected */
  SSL *ssl;
  int is_reused, is_handshaken;
  struct request *request; /* NULL: idle */
  char out[2048];
  int out_length, out_sent;
  char head[HEAD_MAX + 1];
  int head_length, is_in_body, must_close;
  long long left, expected;
  double asked;
  int has_first_byte;
  double paused_until, credit, credited; /* of the rate */
  unsigned events;
};

struct times {
  double *seconds;
  size_t count, room;
};

static struct sockaddr_in address;
static char host[64];
static SSL_CTX *tls;
static int is_copying, epoll_fd;
static double begun;
static struct puller *pullers;
static int puller_count;
static struct connection *connections;
static int connection_count;
static double loop_until; /* 0: every puller goes once through its requests */
static struct times first_bytes, latencies;
static long long total_bytes, answered_count, error_count;
static char first_error[512];
static char *sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9 - begun;
}

static void die(const char *what) {
  fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) die("memory");
  return memory;
}

static void add(struct times *times, double seconds) {
  if (times->count == times->room) {
    times->room = times->room ? times->room * 2 : 1024;
    times->seconds = realloc(times->seconds, times->room * sizeof *times->seconds);
    if (!times->seconds) die("memory");
  }
  times->seconds[times->count++] = seconds;
}

static void advance(struct puller *p);
static int send_request(struct connection *c);

static void watch(struct connection *c, unsigned events) {
  if (c->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
  c->events = events;
}

static void disconnect(struct connection *c) {
  if (c->fd < 0) return;
  if (c->ssl) SSL_free(c->ssl);
  close(c->fd);
  c->ssl = NULL;
  c->fd = -1;
  c->is_reused = c->is_handshaken = 0;
}

static void note_error(struct puller *p, const char *format, ...) {
  p->errors++;
  error_count++;
  if (first_error[0]) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(first_error, sizeof first_error, format, arguments);
  va_end(arguments);
}

/* The request is over, for good or bad. */
static void conclude(struct connection *c) {
  struct puller *p = c->puller;
  c->request = NULL;
  answered_count++;
  p->in_flight--;
  add(&latencies, now() - c->asked);
  if (c->must_close) disconnect(c);
  else c->is_reused = 1;
  advance(p);
}

static void fail(struct connection *c, const char *what) {
  note_error(c->puller, "%s %s: %s", c->request->method == HEAD ? "HEAD" : "GET", c->request->path, what);
  c->must_close = 1;
  conclude(c);
}

static void dial(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  int on = 1, size = SLOW_BUFFER;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* Else the kernel would take megabytes in a slow client's name. */
  if (c->puller->rate > 0) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("connect");
  if (tls) {
    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
  c->events = event.events;
}

static void begin(struct connection *c, struct request *r) {
  c->request = r;
  c->out_length = snprintf(
    c->out, sizeof c->out,
    "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n"
    "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "*/*\r\n\r\n",
    r->method == HEAD ? "HEAD" : "GET", r->path, host);
  if (c->out_length >= (int)sizeof c->out) {
    fprintf(stderr, "client: a path is too long\n");
    exit(2);
  }
  c->out_sent = c->head_length = c->is_in_body = c->must_close = c->has_first_byte = 0;
  c->left = c->expected = 0;
  c->asked = now();
  c->credit = 0;
  c->credited = c->asked;
  c->paused_until = 0;
  if (c->fd < 0) dial(c);
  else send_request(c);
}

/* Gives idle connections what may be asked for now. */
static void advance(struct puller *p) {
  for (;;) {
    if (loop_until > 0) {
      if (now() >= loop_until) p->todo = NULL;
      else if (!p->todo && p->in_flight == 0) p->todo = p->requests;
    }
    if (!p->todo) {
      if (p->in_flight == 0 && p->finished < 0) p->finished = now();
      return;
    }
    if (p->todo->stage != p->stage) {
      if (p->in_flight > 0) return;
      p->stage = p->todo->stage;
    }
    struct connection *idle = NULL;
    for (int i = 0; i < p->connection_count && !idle; i++) {
      if (!p->connections[i].request) idle = &p->connections[i];
    }
    if (!idle) return;
    struct request *r = p->todo;
    p->todo = r->next;
    p->in_flight++;
    begin(idle, r);
  }
}

/* -1: nothing now, -2: broken, 0: end, else how much. */
static ssize_t take(struct connection *c, char *buffer, size_t size, int may_drop) {
  if (c->ssl) {
    ERR_clear_error();
    int got = SSL_read(c->ssl, buffer, (int)size);
    if (got > 0) return got;
    int reason = SSL_get_error(c->ssl, got);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return -1;
    return reason == SSL_ERROR_ZERO_RETURN ? 0 : -2;
  }
  ssize_t got = recv(c->fd, buffer, size, may_drop && !is_copying ? MSG_TRUNC : 0);
  if (got >= 0) return got;
  return errno == EAGAIN || errno == EINTR ? -1 : -2;
}

static const char *header(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
      const char *value = line + 3 + length;
      return value + strspn(value, " \t");
    }
  }
  return NULL;
}

static void first_byte(struct connection *c) {
  if (c->has_first_byte) return;
  c->has_first_byte = 1;
  double t = now();
  add(&first_bytes, t - c->asked);
  if (c->puller->first_byte < 0) c->puller->first_byte = t;
}

static void count(struct connection *c, long long got) {
  if (got <= 0) return;
  first_byte(c);
  c->left -= got;
  c->puller->bytes += got;
  total_bytes += got;
}

/* 1: the request is concluded. */
static int read_head(struct connection *c, char *end) {
  long long extra = c->head_length - (end + 4 - c->head);
  *(end + 2) = 0;
  int status = 0;
  if (sscanf(c->head, "HTTP/1.1 %d", &status) != 1) return fail(c, "this is no answer of HTTP/1.1"), 1;
  const char *length = header(c->head, "content-length"), *connection = header(c->head, "connection");
  char what[64];
  if (status != 200) {
    snprintf(what, sizeof what, "status %d", status);
    return fail(c, what), 1;
  }
  if (!length) return fail(c, "no Content-Length"), 1;
  c->must_close = connection && strncasecmp(connection, "close", 5) == 0;
  c->is_in_body = 1;
  c->left = c->expected = c->request->method == HEAD ? 0 : atoll(length);
  if (c->left == 0) first_byte(c);
  if (extra > c->left) return fail(c, "more than Content-Length"), 1;
  count(c, extra);
  if (c->left == 0) return conclude(c), 1;
  return 0;
}

static void broke(struct connection *c) {
  char what[128];
  /* A server may close an idle connection just when it is used again: as any client, ask once more. */
  if (c->is_reused && c->head_length == 0) {
    struct request *r = c->request;
    disconnect(c);
    begin(c, r);
    return;
  }
  snprintf(what, sizeof what, "the connection ended after %lld of %lld bytes", c->expected - c->left, c->expected);
  fail(c, c->is_in_body ? what : "the connection ended before an answer");
}

/* How much may be read now, by the rate; 0: the connection has to pause. */
static size_t allowance(struct connection *c, size_t wanted) {
  double rate = c->puller->rate;
  if (rate <= 0) return wanted;
  double t = now();
  c->credit += (t - c->credited) * rate;
  c->credited = t;
  /* Not more than a tenth of a second may be saved up. */
  if (c->credit > rate / 10) c->credit = rate / 10;
  double quantum = rate / 50 < 1 ? 1 : rate / 50;
  if (c->credit >= quantum) return c->credit < (double)wanted ? (size_t)c->credit : wanted;
  c->paused_until = t + (quantum - c->credit) / rate;
  /* Not even its end, which would be told again and again. */
  watch(c, 0);
  return 0;
}

static void receive(struct connection *c) {
  long long taken = 0;
  while (taken < TURN_MAX) {
    if (!c->is_in_body) {
      ssize_t got = take(c, c->head + c->head_length, (size_t)(HEAD_MAX - c->head_length), 0);
      if (got == -1) return;
      if (got <= 0) return broke(c);
      c->head_length += (int)got;
      c->head[c->head_length] = 0;
      char *end = strstr(c->head, "\r\n\r\n");
      if (end) {
        if (read_head(c, end)) return;
      } else if (c->head_length == HEAD_MAX) return fail(c, "the headers are too long");
      continue;
    }
    size_t wanted = c->left < READ_MAX ? (size_t)c->left : READ_MAX;
    wanted = allowance(c, wanted);
    if (wanted == 0) return;
    ssize_t got = take(c, sink, wanted, 1);
    if (got == -1) return;
    if (got <= 0) return broke(c);
    taken += got;
    if (c->puller->rate > 0) c->credit -= (double)got;
    count(c, got);
    if (c->left == 0) return conclude(c);
  }
}

/* 0: not yet, or no longer. */
static int send_request(struct connection *c) {
  if (c->ssl && !c->is_handshaken) {
    ERR_clear_error();
    int result = SSL_do_handshake(c->ssl);
    if (result != 1) {
      int reason = SSL_get_error(c->ssl, result);
      if (reason == SSL_ERROR_WANT_READ) return watch(c, EPOLLIN | EPOLLRDHUP), 0;
      if (reason == SSL_ERROR_WANT_WRITE) return watch(c, EPOLLOUT | EPOLLRDHUP), 0;
      return fail(c, "the TLS handshake failed"), 0;
    }
    c->is_handshaken = 1;
  }
  while (c->out_sent < c->out_length) {
    const char *from = c->out + c->out_sent;
    int size = c->out_length - c->out_sent, sent;
    if (c->ssl) {
      ERR_clear_error();
      sent = SSL_write(c->ssl, from, size);
      if (sent <= 0) {
        int reason = SSL_get_error(c->ssl, sent);
        if (reason != SSL_ERROR_WANT_WRITE && reason != SSL_ERROR_WANT_READ) return broke(c), 0;
        return watch(c, EPOLLIN | EPOLLOUT | EPOLLRDHUP), 0;
      }
    } else {
      sent = (int)send(c->fd, from, (size_t)size, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) return broke(c), 0;
        return watch(c, EPOLLIN | EPOLLOUT | EPOLLRDHUP), 0;
      }
    }
    c->out_sent += sent;
  }
  watch(c, EPOLLIN | EPOLLRDHUP);
  return 1;
}

static void serve(struct connection *c) {
  /* Idle: whatever happens on it, it can't be used again. */
  if (!c->request) return disconnect(c);
  if (c->out_sent < c->out_length && !send_request(c)) return;
  receive(c);
}

/* In milliseconds, how long there is nothing to do but to wait. */
static int resume_paused(double deadline) {
  double t = now(), next = deadline;
  for (int i = 0; i < connection_count; i++) {
    struct connection *c = &connections[i];
    if (!c->request || c->fd < 0 || c->paused_until <= 0) continue;
    if (c->paused_until <= t) {
      c->paused_until = 0;
      watch(c, EPOLLIN | EPOLLRDHUP);
      /* What TLS has decrypted already rings no bell. */
      if (c->ssl) receive(c);
    } else if (c->paused_until < next) next = c->paused_until;
  }
  double wait = (next - t) * 1000;
  return wait < 0 ? 0 : (int)wait + 1;
}

/* A line is a puller: CONNECTIONS RATE METHOD PATH [METHOD PATH | METHOD PATH ...]; a bar ends a stage. */
static void read_plan(void) {
  char *line = NULL;
  size_t size = 0;
  int room = 0;
  while (getline(&line, &size, stdin) > 0) {
    if (puller_count == room) {
      room = room ? room * 2 : 64;
      pullers = realloc(pullers, (size_t)room * sizeof *pullers);
      if (!pullers) die("memory");
    }
    struct puller *p = &pullers[puller_count];
    memset(p, 0, sizeof *p);
    p->first_byte = p->finished = -1;
    char *rest = NULL, *word = strtok_r(line, " \n", &rest);
    if (!word) continue;
    int count = atoi(word);
    puller_count++;
    word = strtok_r(NULL, " \n", &rest);
    p->rate = word ? atof(word) : 0;
    struct request **end = &p->requests;
    int stage = 0;
    while ((word = strtok_r(NULL, " \n", &rest))) {
      if (strcmp(word, "|") == 0) {
        stage++;
        continue;
      }
      char *path = strtok_r(NULL, " \n", &rest);
      if (!path) break;
      struct request *r = allocate(1, sizeof *r);
      r->method = strcmp(word, "HEAD") == 0 ? HEAD : GET;
      r->path = strdup(path);
      r->stage = stage;
      *end = r;
      end = &r->next;
    }
    p->todo = p->requests;
    p->connection_count = count;
    connection_count += count;
  }
  connections = allocate((size_t)connection_count, sizeof *connections);
  struct connection *c = connections;
  for (int i = 0; i < puller_count; i++) {
    pullers[i].connections = c;
    for (int n = 0; n < pullers[i].connection_count; n++, c++) {
      c->puller = &pullers[i];
      c->fd = -1;
    }
  }
  free(line);
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Of sorted times, that share of the way from the first to the last, in milliseconds. */
static double quantile(const struct times *times, double share) {
  double place = share * (double)(times->count - 1);
  size_t below = (size_t)place, above = below + 1 < times->count ? below + 1 : below;
  double low = times->seconds[below], high = times->seconds[above];
  return (low + (high - low) * (place - (double)below)) * 1e3;
}

static void sort(struct times *times) {
  qsort(times->seconds, times->count, sizeof *times->seconds, by_size);
}

static void print_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') printf("\\%c", *text);
    else if ((unsigned char)*text >= ' ') putchar(*text);
  }
  putchar('"');
}

static void report(void) {
  double end = now();
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"wallSeconds\":%.6f,\"cpuSeconds\":%.6f,\"bytes\":%lld,\"requests\":%lld,\"errors\":%lld", end, cpu,
         total_bytes, answered_count, error_count);
  if (first_error[0]) printf(",\"firstError\":"), print_text(first_error);
  if (first_bytes.count > 0) {
    sort(&first_bytes);
    printf(",\"firstByteMs\":{\"min\":%.3f,\"median\":%.3f,\"max\":%.3f}", quantile(&first_bytes, 0),
           quantile(&first_bytes, 0.5), quantile(&first_bytes, 1));
  }
  if (latencies.count > 0) {
    sort(&latencies);
    printf(",\"latencyMs\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", quantile(&latencies, 0.5),
           quantile(&latencies, 0.99), quantile(&latencies, 1));
  }
  printf(",\"pullers\":[");
  for (int i = 0; i < puller_count; i++) {
    struct puller *p = &pullers[i];
    printf("%s{\"bytes\":%lld,\"errors\":%d", i ? "," : "", p->bytes, p->errors);
    if (p->finished >= 0) printf(",\"finishSeconds\":%.6f", p->finished);
    if (p->first_byte >= 0) printf(",\"firstByteMs\":%.3f", p->first_byte * 1e3);
    printf("}");
  }
  printf("]}\n");
}

static int is_done(void) {
  for (int i = 0; i < puller_count; i++)
    if (pullers[i].finished < 0) return 0;
  return 1;
}

static void use_tls(void) {
  tls = SSL_CTX_new(TLS_client_method());
  if (!tls) die("TLS");
  /* The servers are our own; and all of them shall do the same work. */
  SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

int main(int argc, char **argv) {
  double deadline = 600;
  int option;
  while ((option = getopt(argc, argv, "tcd:l:")) != -1) {
    if (option == 't') use_tls();
    else if (option == 'c') is_copying = 1;
    else if (option == 'd') deadline = atof(optarg);
    else if (option == 'l') loop_until = atof(optarg);
    else return 2;
  }
  if (argc - optind != 2) {
    fprintf(stderr, "usage: client [-t] [-c] [-d SECONDS] [-l SECONDS] ADDRESS PORT <PLAN\n");
    return 2;
  }
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
  if (inet_pton(AF_INET, argv[optind], &address.sin_addr) != 1) die("address");
  snprintf(host, sizeof host, "%s:%s", argv[optind], argv[optind + 1]);
  signal(SIGPIPE, SIG_IGN);
  sink = allocate(1, READ_MAX);
  read_plan();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll_create1");

  begun = now();
  for (int i = 0; i < puller_count; i++) advance(&pullers[i]);
  struct epoll_event events[256];
  while (!is_done() && now() < deadline) {
    int ready = epoll_wait(epoll_fd, events, 256, resume_paused(deadline));
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) serve(events[i].data.ptr);
  }
  for (int i = 0; i < puller_count; i++) {
    if (pullers[i].finished < 0) note_error(&pullers[i], "not done after %.0f seconds", deadline);
  }
  report();
  return 0;
}
