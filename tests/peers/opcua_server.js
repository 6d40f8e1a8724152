// A pump station on node-opcua: an OPC UA stack that shares nothing with ours.
// Arguments: port, folder for its certificates, "user:password" or "", how many subscriptions a session may
// have ("" for the usual). Users' certificates lie in users/trusted/certs of the folder. Prints the port when
// it listens. `Sump` raises the limit alarm `SumpLevel`: high from 5, high high from 8. `Count` keeps its past.
"use strict";
const path = require("path");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { OPCUAServer } = require("node-opcua-server");
const { SecurityPolicy, MessageSecurityMode } = require("node-opcua-secure-channel");
const { Variant, DataType } = require("node-opcua-variant");
const { DataValue } = require("node-opcua-data-value");
const { StatusCodes } = require("node-opcua-status-code");

const [port, folder, user, most] = process.argv.slice(2);
const [name, password] = (user || "").split(":");

(async () => {
  const pki = new OPCUACertificateManager({
    rootFolder: path.join(folder, "pki"), automaticallyAcceptUnknownCertificate: false,
  });
  await pki.initialize();
  const users = new OPCUACertificateManager({
    rootFolder: path.join(folder, "users"), automaticallyAcceptUnknownCertificate: false,
  });
  await users.initialize();
  const server = new OPCUAServer({
    port: Number(port), host: "127.0.0.1", hostname: "localhost",
    serverCertificateManager: pki, userCertificateManager: users,
    ...(most ? { serverCapabilities: { maxSubscriptionsPerSession: Number(most), maxSubscriptions: Number(most) } } : {}),
    securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256,
                       SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: !name,
    userManager: { isValidUser: (n, p) => n === name && p === password },
    serverInfo: { applicationUri: "urn:test:node-opcua", productUri: "urn:test" },
    buildInfo: { productName: "Pump controller", manufacturerName: "Example", softwareVersion: "7.1" },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.getOwnNamespace();
  const pumps = space.registerNamespace("urn:example:pumps");
  const station = pumps.addObject({ organizedBy: space.rootFolder.objects, browseName: "Station",
    eventSourceOf: space.rootFolder.objects.server });
  let level = 1.0, count = 0, bad = false;
  pumps.addVariable({ componentOf: station, browseName: "Level", nodeId: "s=Station.Level", dataType: "Double",
    minimumSamplingInterval: 10,
    value: { timestamped_get: () => new DataValue({
      value: new Variant({ dataType: DataType.Double, value: level }), sourceTimestamp: new Date(),
      statusCode: bad ? StatusCodes.BadSensorFailure : StatusCodes.Good }) } });
  const counter = pumps.addVariable({ componentOf: station, browseName: "Count", dataType: "UInt32" });
  space.installHistoricalDataNode(counter, { maxOnlineValues: 10000 });
  const sump = pumps.addVariable({ componentOf: station, browseName: "Sump", dataType: "Double",
    eventSourceOf: station, accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite" });
  sump.setValueFromSource({ dataType: DataType.Double, value: 1.0 });
  space.installAlarmsAndConditionsService();
  pumps.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    browseName: "SumpLevel", conditionName: "SumpLevel", conditionSource: sump, inputNode: sump, organizedBy: station,
    highHighLimit: 8, highLimit: 5, lowLimit: -1, lowLowLimit: -2,
  });
  const flow = pumps.addAnalogDataItem({ componentOf: station, browseName: "Flow", dataType: "Double",
    engineeringUnitsRange: { low: 0, high: 100 } });
  const setpoint = pumps.addVariable({ componentOf: station, browseName: "Setpoint", dataType: "Float",
    accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite" });
  setpoint.setValueFromSource({ dataType: DataType.Float, value: 2.5 });
  const running = pumps.addVariable({ componentOf: station, browseName: "Running", dataType: "Boolean" });
  running.setValueFromSource({ dataType: DataType.Boolean, value: false });
  for (const [word, wish] of [["Start", true], ["Stop", false]]) {
    pumps.addMethod(station, { browseName: word, inputArguments: [], outputArguments: [] })
      .bindMethod((inputs, context, done) => {
        running.setValueFromSource({ dataType: DataType.Boolean, value: wish });
        done(null, { statusCode: StatusCodes.Good });
      });
  }
  setInterval(() => {
    level += 0.01; count += 1; bad = count % 40 >= 30;
    counter.setValueFromSource({ dataType: DataType.UInt32, value: count });
    flow.setValueFromSource({ dataType: DataType.Double, value: count % 100 });
  }, 50);
  await server.start();
  console.log(port);
})().catch((error) => { console.error(error); process.exit(1); });
