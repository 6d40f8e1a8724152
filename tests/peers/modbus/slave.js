// A Modbus device on npm modbus-serial: argv: "start:hex" of its registers, "start:bits" of its coils.
// Modbus TCP: prints its port and serves until it is killed. With a third argument, the path of a
// serial port: RTU as unit 1 at 115200 8N1; prints 0 when it listens.
const net = require("net");
const { ServerSerial, ServerTCP } = require("modbus-serial");

const [registersAt, hex] = process.argv[2].split(":");
const [bitsAt, bits] = process.argv[3].split(":");
const register = (address) => {
    const at = (address - Number(registersAt)) * 4;
    return at >= 0 && at + 4 <= hex.length ? parseInt(hex.slice(at, at + 4), 16) : 0;
};
const bit = (address) => bits[address - Number(bitsAt)] === "1";
const device = {
    getHoldingRegister: register,
    getInputRegister: register,
    getCoil: bit,
    getDiscreteInput: bit,
};

if (process.argv[4]) {
    const options = { path: process.argv[4], baudRate: 115200, openCallback: () => console.log(0) };
    new ServerSerial(device, { ...options, port: options.path, unitID: 1 }, { unitID: 1 });
} else {
const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => {
        const server = new ServerTCP(device, { host: "127.0.0.1", port, unitID: 1 });
        server.on("initialized", () => console.log(port));
        server.on("socketError", () => {});
    });
});
}
