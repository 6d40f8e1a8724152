// A Modbus TCP device on npm modbus-serial: argv: "start:hex" of its registers, "start:bits" of its coils.
// Prints its port and serves until it is killed.
const net = require("net");
const { ServerTCP } = require("modbus-serial");

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

const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => {
        const server = new ServerTCP(device, { host: "127.0.0.1", port, unitID: 1 });
        server.on("initialized", () => console.log(port));
        server.on("socketError", () => {});
    });
});
