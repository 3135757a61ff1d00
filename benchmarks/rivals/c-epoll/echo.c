/* The limit of what HTTP can cost here: one epoll loop in each process, and of each request only where its body lies.
   echo PORT PROCESSES */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

enum { ROOM = 1 << 16, FDS = 4096 };

static char in[FDS][ROOM];
static int have[FDS];

static int answer(int fd) {
  static char out[ROOM + 128];
  int used = 0;
  for (;;) {
    char *at = in[fd] + used, *end = memmem(at, have[fd] - used, "\r\n\r\n", 4);
    if (!end) break;
    char *length = memmem(at, end - at, "ontent-Length: ", 15);
    int size = length ? atoi(length + 15) : 0, head = end + 4 - at;
    if (used + head + size > have[fd]) break;
    int n = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n", size);
    memcpy(out + n, end + 4, size);
    if (write(fd, out, n + size) != n + size) return 0;
    used += head + size;
  }
  have[fd] -= used;
  memmove(in[fd], in[fd] + used, have[fd]);
  return have[fd] < ROOM;
}

static void serve(int port) {
  int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) exit(1);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poll, ready, 64, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        fd = accept(listener, 0, 0);
        if (fd < 0 || fd >= FDS) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        have[fd] = 0;
        event.data.fd = fd;
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        continue;
      }
      int got = read(fd, in[fd] + have[fd], ROOM - have[fd]);
      if (got > 0) have[fd] += got;
      if (got <= 0 || !answer(fd)) close(fd);
    }
  }
}

int main(int count, char **words) {
  if (count != 3) return 2;
  for (int more = atoi(words[2]) - 1; more > 0; more--)
    if (!fork()) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      break;
    }
  serve(atoi(words[1]));
}
