/* The load client's loop in C: reads many sockets, and counts WebSocket messages by their headers (RFC 6455, 5.2).
 * compiled_counter.py builds it, and declares what is here for ctypes. */

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { FIN = 0x80, CONTROL = 0x08, OPCODE = 0x0F, CLOSE = 0x8, PING = 0x9, MASKED = 0x80 };
enum { ERROR_MASKED = -1, ERROR_DROPPED = -2, ERROR_CLOSED = -3, ERROR_EPOLL = -4 };

struct counter {
    int64_t smallest; /* messages whose last frame is shorter are not counted */
    int64_t messages;
    int64_t size; /* bytes of payload of the messages counted */
    int64_t pings;
    int64_t length; /* of the current frame's payload */
    int64_t left; /* bytes of it that have not come */
    uint8_t closed; /* a close frame has come */
    uint8_t held; /* bytes of the current header that have come */
    uint8_t head[10];
};

static void count(struct counter *counter) {
    uint8_t first = counter->head[0];
    if ((first & (FIN | CONTROL)) == FIN) {
        if (counter->length >= counter->smallest) {
            counter->messages++;
            counter->size += counter->length;
        }
    } else if ((first & OPCODE) == PING)
        counter->pings++;
    else if ((first & OPCODE) == CLOSE)
        counter->closed = 1;
}

/* Take the next bytes of a connection's stream; ERROR_MASKED if a frame from the server is masked, otherwise 0. */
int counter_feed(struct counter *counter, const uint8_t *data, int64_t size) {
    int64_t at = 0;
    while (at < size) {
        if (counter->left) {
            int64_t taken = counter->left < size - at ? counter->left : size - at;
            at += taken;
            counter->left -= taken;
            if (!counter->left)
                count(counter);
            continue;
        }
        uint8_t *head = counter->head;
        head[counter->held++] = data[at++];
        if (counter->held < 2)
            continue;
        if (head[1] & MASKED)
            return ERROR_MASKED;
        int whole = head[1] == 126 ? 4 : head[1] == 127 ? 10 : 2;
        if (counter->held < whole)
            continue;
        int64_t length = whole == 2 ? head[1] : 0;
        for (int place = 2; place < whole; place++)
            length = length << 8 | head[place];
        counter->held = 0;
        counter->length = counter->left = length;
        if (!length)
            count(counter);
    }
    return 0;
}

/* Read whatever has come on the connections of an epoll; `counters` has the counter of each descriptor.
 *
 * Return on how many something came, or an error. `behind` becomes smaller by the number of connections that had no
 * more than `slowest` messages and have more now. */
int counter_read(int epoll, struct counter **counters, int milliseconds, int64_t slowest, int64_t *behind,
                 uint8_t *buffer, int64_t room) {
    struct epoll_event events[1024];
    int number = epoll_wait(epoll, events, 1024, milliseconds);
    if (number < 0)
        return errno == EINTR ? 0 : ERROR_EPOLL;
    for (int each = 0; each < number; each++) {
        int descriptor = events[each].data.fd;
        struct counter *counter = counters[descriptor];
        int64_t got = recv(descriptor, buffer, room, MSG_DONTWAIT);
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                continue;
            return ERROR_DROPPED;
        }
        int64_t before = counter->messages;
        if (counter_feed(counter, buffer, got))
            return ERROR_MASKED;
        if (!got || counter->closed)
            return ERROR_CLOSED;
        if (before <= slowest && slowest < counter->messages)
            (*behind)--;
    }
    return number;
}

/* Return what the slowest of the connections has, and set `behind` to how many have no more. */
int64_t counter_slowest(struct counter **all, int64_t number, int64_t *behind) {
    int64_t slowest = INT64_MAX;
    for (int64_t each = 0; each < number; each++) {
        int64_t messages = all[each]->messages;
        if (messages < slowest) {
            slowest = messages;
            *behind = 0;
        }
        *behind += messages == slowest;
    }
    return slowest;
}
