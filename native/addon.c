/*
 * The sender for Node.js. `send(socket, file, position, end, done)` answers with a number, by which the transfer is
 * known to `sent` and `cancel` until `done` has been called with the bytes that were sent, or with undefined where it
 * can't be begun. All that there is belongs to the environment (a thread of JavaScript), and ends with it.
 */
#define NAPI_VERSION 8
#include <node_api.h>

#include <stdbool.h>
#include <stdlib.h>

#include "sender.h"

struct slot {
  /* NULL where it is free. */
  struct transfer *transfer;
  napi_ref done;
  uint32_t next_free;
};

struct state {
  /* NULL until the first transfer, and after the end. */
  struct sender *sender;
  napi_threadsafe_function results;
  struct slot *slots;
  uint32_t slots_count;
  uint32_t first_free;
  uint32_t running;
};

static const uint32_t NONE = UINT32_MAX;

/* On a thread of the sender. */
static void on_done(struct transfer *transfer, void *owner, uint32_t id) {
  (void)transfer;
  struct state *state = owner;
  /* It fails only where the environment ends: then nobody waits for it. */
  napi_call_threadsafe_function(state->results, (void *)(uintptr_t)id, napi_tsfn_nonblocking);
}

/* On the thread of JavaScript. */
static void deliver(napi_env env, napi_value function, void *context, void *data) {
  (void)function;
  if (env == NULL) return;
  struct state *state = context;
  uint32_t id = (uint32_t)(uintptr_t)data;
  struct slot *slot = &state->slots[id];
  napi_value done, receiver, sent;
  napi_get_reference_value(env, slot->done, &done);
  napi_delete_reference(env, slot->done);
  napi_create_int64(env, transfer_sent(slot->transfer), &sent);
  transfer_free(slot->transfer);
  slot->transfer = NULL;
  slot->next_free = state->first_free;
  state->first_free = id;
  state->running -= 1;
  if (state->running == 0) napi_unref_threadsafe_function(env, state->results);
  napi_get_undefined(env, &receiver);
  napi_call_function(env, receiver, done, 1, &sent, NULL);
}

static void close_state(void *argument) {
  struct state *state = argument;
  if (state->sender == NULL) return;
  sender_close(state->sender);
  state->sender = NULL;
  for (uint32_t id = 0; id < state->slots_count; id += 1) {
    if (state->slots[id].transfer != NULL) transfer_free(state->slots[id].transfer);
  }
  free(state->slots);
  state->slots = NULL;
  state->slots_count = 0;
  state->first_free = NONE;
}

static void free_state(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static bool open_state(napi_env env, struct state *state) {
  if (state->sender != NULL) return true;
  napi_value name;
  if (napi_create_string_utf8(env, "entrepot:sendfile", NAPI_AUTO_LENGTH, &name) != napi_ok) return false;
  if (napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, state, deliver, &state->results) !=
      napi_ok)
    return false;
  /* Until there is a transfer, it is no reason for the process to live. */
  napi_unref_threadsafe_function(env, state->results);
  state->sender = sender_open(on_done, state);
  if (state->sender == NULL) {
    napi_release_threadsafe_function(state->results, napi_tsfn_abort);
    return false;
  }
  /* Hooks run last in, first out: the threads are gone before what they call. */
  napi_add_env_cleanup_hook(env, close_state, state);
  return true;
}

/* A free slot, or NONE where there is no memory. */
static uint32_t reserve_slot(struct state *state) {
  if (state->first_free == NONE) {
    uint32_t count = state->slots_count == 0 ? 64 : state->slots_count * 2;
    struct slot *slots = realloc(state->slots, count * sizeof *slots);
    if (slots == NULL) return NONE;
    for (uint32_t id = state->slots_count; id < count; id += 1) {
      slots[id].transfer = NULL;
      slots[id].next_free = id + 1 < count ? id + 1 : NONE;
    }
    state->first_free = state->slots_count;
    state->slots = slots;
    state->slots_count = count;
  }
  return state->first_free;
}

static napi_value send(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  struct state *state;
  int32_t socket, file;
  int64_t position, end;
  if (napi_get_instance_data(env, (void **)&state) != napi_ok ||
      napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok ||
      napi_get_value_int32(env, arguments[0], &socket) != napi_ok ||
      napi_get_value_int32(env, arguments[1], &file) != napi_ok ||
      napi_get_value_int64(env, arguments[2], &position) != napi_ok ||
      napi_get_value_int64(env, arguments[3], &end) != napi_ok || position < 0 || end <= position) {
    napi_throw_type_error(env, NULL, "two descriptors, a position, an end behind it and a function are needed");
    return NULL;
  }
  if (!open_state(env, state)) return NULL;
  uint32_t id = reserve_slot(state);
  if (id == NONE) return NULL;
  struct slot *slot = &state->slots[id];
  if (napi_create_reference(env, arguments[4], 1, &slot->done) != napi_ok) return NULL;
  slot->transfer = sender_start(state->sender, socket, file, position, end, id);
  if (slot->transfer == NULL) {
    napi_delete_reference(env, slot->done);
    return NULL;
  }
  state->first_free = slot->next_free;
  if (state->running == 0) napi_ref_threadsafe_function(env, state->results);
  state->running += 1;
  napi_value result;
  napi_create_uint32(env, id, &result);
  return result;
}

/* The transfer that the only argument names, or NULL. */
static struct transfer *transfer_of(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  struct state *state;
  uint32_t id;
  if (napi_get_instance_data(env, (void **)&state) != napi_ok ||
      napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
      napi_get_value_uint32(env, argument, &id) != napi_ok || id >= state->slots_count ||
      state->slots[id].transfer == NULL) {
    napi_throw_error(env, NULL, "there is no such transfer");
    return NULL;
  }
  return state->slots[id].transfer;
}

static napi_value sent(napi_env env, napi_callback_info info) {
  struct transfer *transfer = transfer_of(env, info);
  if (transfer == NULL) return NULL;
  napi_value result;
  napi_create_int64(env, transfer_sent(transfer), &result);
  return result;
}

static napi_value cancel(napi_env env, napi_callback_info info) {
  struct transfer *transfer = transfer_of(env, info);
  if (transfer != NULL) transfer_cancel(transfer);
  return NULL;
}

static bool export(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  struct state *state = calloc(1, sizeof *state);
  if (state == NULL) return NULL;
  state->first_free = NONE;
  if (napi_set_instance_data(env, state, free_state, NULL) != napi_ok) {
    free(state);
    return NULL;
  }
  if (!export(env, exports, "send", send) || !export(env, exports, "sent", sent) ||
      !export(env, exports, "cancel", cancel)) {
    napi_throw_error(env, NULL, "the sender can't be set up");
    return NULL;
  }
  return exports;
}
