/* Acts like a proxifier: each connection goes to the port PROXYCHAINS_SOCKS5_PORT of loopback instead. The variable is one of
   proxychains, because the uploader gets only those. For LD_PRELOAD: `cc -shared -fPIC`. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    const char *port = getenv("PROXYCHAINS_SOCKS5_PORT");
    struct sockaddr_in there = {0};
    if (address->sa_family == AF_INET && port) {
        there.sin_family = AF_INET;
        there.sin_port = htons(atoi(port));
        there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address = (const struct sockaddr *)&there;
        length = sizeof there;
    }
    return syscall(SYS_connect, socket, address, length);
}
