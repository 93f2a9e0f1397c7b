// A service and its endpoints from the first network to the last delete, by Azure's npm package and nothing else.

import assert from "node:assert/strict";
import { NetworkManagementClient } from "@azure/arm-network";

const [endpoint, ...tokens] = process.argv.slice(2);
const client = (subscription, token) => {
  const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600_000 }) };
  return new NetworkManagementClient(credential, subscription, { endpoint });
};
const [provider, contoso, fabrikam] = ["provider", "contoso", "fabrikam"].map((it, at) => client(it, tokens[at]));
const location = "westeurope";

const refused = async (code, status, promise) => {
  await assert.rejects(promise, (error) => error.statusCode === status && error.code === code);
};
const all = async (pages) => {
  const found = [];
  for await (const it of pages) found.push(it);
  return found;
};

const network = (of, prefix) =>
  of.virtualNetworks.beginCreateOrUpdateAndWait("rg", "net", {
    location,
    addressSpace: { addressPrefixes: [`${prefix}.0.0/16`] },
    subnets: ["servers", "endpoints", "nat"].map((name, at) => ({
      name,
      addressPrefix: `${prefix}.${at}.0/24`,
      privateEndpointNetworkPolicies: "Disabled",
      privateLinkServiceNetworkPolicies: "Disabled",
    })),
  });
const nets = {
  provider: await network(provider, "10.2"),
  contoso: await network(contoso, "10.0"),
  fabrikam: await network(fabrikam, "10.0"),
};
assert.equal(nets.provider.provisioningState, "Succeeded");
const subnet = (of, name) => ({ id: `${nets[of].id}/subnets/${name}` });

const lb = nets.provider.id.replace("virtualNetworks/net", "loadBalancers/web");
const made = await provider.loadBalancers.beginCreateOrUpdateAndWait("rg", "web", {
  location,
  sku: { name: "Standard" },
  frontendIPConfigurations: [{ name: "web", subnet: subnet("provider", "servers") }],
  backendAddressPools: [
    {
      name: "servers",
      loadBalancerBackendAddresses: [
        { name: "b11", ipAddress: "10.2.0.11", virtualNetwork: { id: nets.provider.id } },
      ],
    },
  ],
  probes: [{ name: "up", protocol: "Tcp", port: 80, intervalInSeconds: 5, numberOfProbes: 2 }],
  loadBalancingRules: [
    {
      name: "http",
      frontendIPConfiguration: { id: `${lb}/frontendIPConfigurations/web` },
      backendAddressPool: { id: `${lb}/backendAddressPools/servers` },
      probe: { id: `${lb}/probes/up` },
      protocol: "Tcp",
      frontendPort: 80,
      backendPort: 80,
    },
  ],
});
const service = await provider.privateLinkServices.beginCreateOrUpdateAndWait("rg", "web", {
  location,
  loadBalancerFrontendIpConfigurations: [{ id: made.frontendIPConfigurations[0].id }],
  ipConfigurations: [{ name: "a", subnet: subnet("provider", "nat"), primary: true }],
  visibility: { subscriptions: ["contoso", "fabrikam"] },
  autoApproval: { subscriptions: ["contoso"] },
  fqdns: ["web.example.com"],
});
const seen = await contoso.privateLinkServices.beginCheckPrivateLinkServiceVisibilityAndWait(location, {
  privateLinkServiceAlias: service.alias,
});
assert.equal(seen.visible, true);
const approved = await all(contoso.privateLinkServices.listAutoApprovedPrivateLinkServices(location));
assert.deepEqual(approved.map((it) => it.privateLinkService), [service.id]);

// Somebody else's service is nobody's to look at, by this client's own words.
await refused("AuthorizationFailed", 403, client("provider", tokens[1]).privateLinkServices.get("rg", "web"));
await refused("AuthenticationFailed", 401, client("provider", "plnat_x").privateLinkServices.get("rg", "web"));

const shop = await contoso.privateEndpoints.beginCreateOrUpdateAndWait("rg", "shop", {
  location,
  subnet: subnet("contoso", "endpoints"),
  privateLinkServiceConnections: [{ name: "mine", privateLinkServiceId: service.id }],
});
assert.equal(shop.privateLinkServiceConnections[0].privateLinkServiceConnectionState.status, "Approved");
const asked = (privateLinkServiceId) => ({
  location,
  subnet: subnet("fabrikam", "endpoints"),
  manualPrivateLinkServiceConnections: [{ name: "mine", privateLinkServiceId, requestMessage: "please" }],
});
await fabrikam.privateEndpoints.beginCreateOrUpdateAndWait("rg", "desk", asked(service.alias));
await refused(
  "InvalidPrivateLinkServiceId",
  400,
  fabrikam.privateEndpoints.beginCreateOrUpdateAndWait("rg", "lost", asked(service.alias.replace("web.", "wab."))),
);
const connections = await all(provider.privateLinkServices.listPrivateEndpointConnections("rg", "web"));
let waiting = connections.find((it) => it.name.startsWith("desk."));
for (const status of ["Approved", "Rejected", "Approved"]) {
  waiting = await provider.privateLinkServices.updatePrivateEndpointConnection("rg", "web", waiting.name, {
    ...waiting,
    privateLinkServiceConnectionState: { status, description: `${status} it is` },
  });
  const desk = await fabrikam.privateEndpoints.get("rg", "desk");
  const [{ privateLinkServiceConnectionState: state }] = desk.manualPrivateLinkServiceConnections;
  assert.deepEqual([state.status, state.description], [status, `${status} it is`]);
}
await refused(
  "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted",
  400,
  provider.privateLinkServices.beginDeleteAndWait("rg", "web"),
);
await provider.privateLinkServices.beginDeletePrivateEndpointConnectionAndWait("rg", "web", waiting.name);
await contoso.privateEndpoints.beginDeleteAndWait("rg", "shop");
await fabrikam.privateEndpoints.beginDeleteAndWait("rg", "desk");
await provider.privateLinkServices.beginDeleteAndWait("rg", "web");
await provider.loadBalancers.beginDeleteAndWait("rg", "web");
for (const of of [provider, contoso, fabrikam]) {
  await of.virtualNetworks.beginDeleteAndWait("rg", "net");
  assert.deepEqual(await all(of.privateEndpoints.listBySubscription()), []);
  await refused("ResourceNotFound", 404, of.virtualNetworks.get("rg", "net"));
}
