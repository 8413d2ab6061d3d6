/*
 * Loads the file that it is given, as Node.js would, with the C library that this was built with, and has it send a file
 * over a socket. Of Node.js there is only what the loader asks for.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (9 * 1024 * 1024 + 123)

/* Never called: it is the core that is tried. */
#define ABSENT(name) \
  void name(void) { abort(); }
ABSENT(napi_add_env_cleanup_hook)
ABSENT(napi_call_function)
ABSENT(napi_call_threadsafe_function)
ABSENT(napi_create_function)
ABSENT(napi_create_int64)
ABSENT(napi_create_reference)
ABSENT(napi_create_string_utf8)
ABSENT(napi_create_threadsafe_function)
ABSENT(napi_create_uint32)
ABSENT(napi_delete_reference)
ABSENT(napi_get_cb_info)
ABSENT(napi_get_instance_data)
ABSENT(napi_get_reference_value)
ABSENT(napi_get_undefined)
ABSENT(napi_get_value_int32)
ABSENT(napi_get_value_int64)
ABSENT(napi_get_value_uint32)
ABSENT(napi_ref_threadsafe_function)
ABSENT(napi_release_threadsafe_function)
ABSENT(napi_set_instance_data)
ABSENT(napi_set_named_property)
ABSENT(napi_throw_error)
ABSENT(napi_throw_type_error)
ABSENT(napi_unref_threadsafe_function)

static void expect(int holds, const char *what) {
  if (holds) return;
  const char *reason = dlerror();
  fprintf(stderr, "failed: %s %s\n", what, reason != NULL ? reason : "");
  exit(1);
}

struct transfer;
static int64_t (*transfer_sent)(const struct transfer *);
static int results[2];

static void on_done(struct transfer *transfer, void *owner, uint32_t id) {
  int64_t result[] = {transfer_sent(transfer), owner == results && id == 7};
  expect(write(results[1], result, sizeof result) == sizeof result, "to tell of the end");
}

static int64_t result(void) {
  int64_t told[2];
  expect(read(results[0], told, sizeof told) == sizeof told && told[1] == 1, "to hear of the end");
  return told[0];
}

int main(int count, char **arguments) {
  expect(count == 2, "usage: host FILE");
  void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  expect(library != NULL, "to load it");
  void *(*sender_open)(void *, void *) = (void *(*)(void *, void *))dlsym(library, "sender_open");
  struct transfer *(*sender_start)(void *, int, int, int64_t, int64_t, uint32_t) =
      (struct transfer * (*)(void *, int, int, int64_t, int64_t, uint32_t)) dlsym(library, "sender_start");
  void (*transfer_cancel)(struct transfer *) = (void (*)(struct transfer *))dlsym(library, "transfer_cancel");
  void (*sender_close)(void *) = (void (*)(void *))dlsym(library, "sender_close");
  transfer_sent = (int64_t (*)(const struct transfer *))dlsym(library, "transfer_sent");
  expect(dlsym(library, "napi_register_module_v1") != NULL, "to find what Node.js calls");

  static unsigned char sent[SIZE], received[SIZE];
  for (size_t index = 0; index < SIZE; index += 1) sent[index] = (unsigned char)(index * 2654435761u >> 13);
  char path[] = "/tmp/entrepot-check-XXXXXX";
  int file = mkstemp(path);
  unlink(path);
  expect(write(file, sent, SIZE) == SIZE, "to write a file");
  int sockets[2];
  expect(pipe(results) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "to get sockets");
  fcntl(sockets[0], F_SETFL, O_NONBLOCK);

  void *sender = sender_open((void *)on_done, results);
  expect(sender_start(sender, sockets[0], file, 5, SIZE, 7) != NULL, "to begin");
  for (size_t length = 5; length < SIZE;) {
    ssize_t some = read(sockets[1], received + length, SIZE - length);
    expect(some > 0, "to receive");
    length += (size_t)some;
  }
  expect(result() == SIZE - 5 && memcmp(sent + 5, received + 5, SIZE - 5) == 0, "to send the right bytes");

  struct transfer *cancelled = sender_start(sender, sockets[0], file, 0, SIZE, 7);
  transfer_cancel(cancelled);
  expect(result() < SIZE, "to cancel");
  expect(sender_start(sender, sockets[0], file, 0, SIZE, 7) != NULL, "to begin once more");
  sender_close(sender);
  expect(result() < SIZE, "to end while it sends");
  puts("ok");
  return 0;
}
