/* A container in C that compares Content-Type with "text/csv" to the letter, as some do. Answers CSV with a charset. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static void answer(int to, const char *status, const char *type, const char *body) {
    char out[8192];
    int n = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     status, type, strlen(body), body);
    if (write(to, out, n) != n) perror("write");
}

int main(void) {
    const char *port = getenv("SAGEMAKER_BIND_TO_PORT");
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16)) return 1;
    for (;;) {
        int peer = accept(listener, 0, 0), have = 0, n;
        static char in[65536];
        char *end = 0;
        long length = 0;
        while ((n = read(peer, in + have, sizeof in - 1 - have)) > 0) {
            in[have += n] = 0;
            if (!end && (end = strstr(in, "\r\n\r\n"))) {
                char *found = strcasestr(in, "content-length:");
                length = found && found < end ? atol(found + 15) : 0;
            }
            if (end && in + have >= end + 4 + length) break;
        }
        if (end) {
            char *type = strcasestr(in, "content-type: ");
            int exact = type && type < end && !strncasecmp(type + 14, "text/csv\r\n", 10);
            if (!strncmp(in, "GET /ping", 9)) answer(peer, "200 OK", "text/plain", "");
            else if (exact) answer(peer, "200 OK", "text/csv; charset=utf-8", end + 4);
            else answer(peer, "415 Unsupported Media Type", "text/plain", "content type not supported");
        }
        close(peer);
    }
}
