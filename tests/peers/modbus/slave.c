/* A Modbus device on libmodbus: argv[1] registers "start:hex", argv[2] coils "start:bits".
 * Modbus TCP: prints its port, then serves one connection after another until it is killed.
 * With argv[3], the path of a serial port: RTU as unit 1 at 115200 8N1; prints 0 when it listens. */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const int rtu = argc > 3;
    modbus_t *ctx = rtu ? modbus_new_rtu(argv[3], 115200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(500, 500, 500, 500);
    if (!ctx || !map || argc < 3) return 2;

    char *at = strchr(argv[1], ':');
    int start = atoi(argv[1]);
    for (at++; strlen(at) >= 4; at += 4, start++) {
        char word[5] = {at[0], at[1], at[2], at[3], 0};
        map->tab_registers[start] = map->tab_input_registers[start] = strtoul(word, NULL, 16);
    }
    at = strchr(argv[2], ':');
    start = atoi(argv[2]);
    for (at++; *at; at++, start++) map->tab_bits[start] = map->tab_input_bits[start] = *at == '1';

    if (rtu) {
        uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
        if (modbus_set_slave(ctx, 1) || modbus_connect(ctx)) return 5;
        puts("0");
        fflush(stdout);
        for (;;) {
            int length = modbus_receive(ctx, query);
            if (length > 0) modbus_reply(ctx, query, length, map);
            if (length < 0 && errno != EMBBADCRC && errno != ETIMEDOUT) return 6;
        }
    }

    int listener = modbus_tcp_listen(ctx, 4);
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&name, &size)) return 3;
    printf("%d\n", ntohs(name.sin_port));
    fflush(stdout);

    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        if (modbus_tcp_accept(ctx, &listener) < 0) return 4;
        int length;
        while ((length = modbus_receive(ctx, query)) >= 0)
            if (length > 0) modbus_reply(ctx, query, length, map);
        modbus_close(ctx);
    }
}
