"""Two parties with Azure's package: does what each line of its input says, and answers with a line."""

import sys

from azure.core.credentials import AccessToken
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.network import models as m


class Somebody:
    def __init__(self, token):
        self.token = token

    def get_token(self, *scopes, **kwargs):
        return AccessToken(self.token, 2**33)


url, authority, *tokens = sys.argv[1:]


def client(subscription, token):
    return NetworkManagementClient(
        Somebody(token), subscription, base_url=url, credential_scopes=["plnat"], connection_verify=authority
    )


provider, contoso, fabrikam = map(client, ("provider", "contoso", "fabrikam"), tokens)
WHERE = {"location": "westeurope"}
NET = "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/net"
LB = "/subscriptions/provider/resourceGroups/rg/providers/Microsoft.Network/loadBalancers/web"
subnet = lambda of, name: m.Subnet(id=f"{NET.format(of)}/subnets/{name}")


def network(of, prefix):
    open_ = {"private_endpoint_network_policies": "Disabled", "private_link_service_network_policies": "Disabled"}
    subnets = [m.Subnet(name=f"s{at}", address_prefix=f"{prefix}.{at}.0/24", **open_) for at in (0, 1)]
    space = m.AddressSpace(address_prefixes=[f"{prefix}.0.0/16"])
    body = m.VirtualNetwork(**WHERE, address_space=space, subnets=subnets)
    of.virtual_networks.begin_create_or_update("rg", "net", body).result()


def publish():
    network(provider, "10.2")
    backends = [m.LoadBalancerBackendAddress(name=f"b{host}", ip_address=f"10.2.0.{host}") for host in (11, 12)]
    rule = m.LoadBalancingRule(
        name="http",
        frontend_ip_configuration=m.SubResource(id=f"{LB}/frontendIPConfigurations/web"),
        backend_address_pool=m.SubResource(id=f"{LB}/backendAddressPools/servers"),
        protocol="Tcp",
        frontend_port=80,
        backend_port=80,
    )
    balancer = m.LoadBalancer(
        **WHERE,
        sku=m.LoadBalancerSku(name="Standard"),
        frontend_ip_configurations=[
            m.FrontendIPConfiguration(
                name="web",
                subnet=subnet("provider", "s0"),
                private_ip_address="10.2.0.4",
                private_ip_allocation_method="Static",
            )
        ],
        backend_address_pools=[m.BackendAddressPool(name="servers", load_balancer_backend_addresses=backends)],
        load_balancing_rules=[rule],
    )
    provider.load_balancers.begin_create_or_update("rg", "web", balancer).result()
    nat = m.PrivateLinkServiceIpConfiguration(name="a", subnet=subnet("provider", "s1"), primary=True)
    service = m.PrivateLinkService(
        **WHERE,
        load_balancer_frontend_ip_configurations=[m.FrontendIPConfiguration(id=f"{LB}/frontendIPConfigurations/web")],
        ip_configurations=[nat],
        visibility=m.PrivateLinkServicePropertiesVisibility(subscriptions=["contoso", "fabrikam"]),
        auto_approval=m.PrivateLinkServicePropertiesAutoApproval(subscriptions=["contoso"]),
    )
    provider.private_link_services.begin_create_or_update("rg", "web", service).result()
    return "published"


def connect():
    service = provider.private_link_services.get("rg", "web")
    told = []
    for of, name, which in ((contoso, "contoso", service.id), (fabrikam, "fabrikam", service.alias)):
        network(of, "10.0")
        wish = [m.PrivateLinkServiceConnection(name="it", private_link_service_id=which)]
        asked = {"manual_private_link_service_connections": wish}
        if name == "contoso":
            asked = {"private_link_service_connections": wish}
        address = m.PrivateEndpointIPConfiguration(name="ip", private_ip_address="10.0.1.4")
        body = m.PrivateEndpoint(**WHERE, subnet=subnet(name, "s1"), ip_configurations=[address], **asked)
        made = of.private_endpoints.begin_create_or_update("rg", name, body).result()
        connection = (made.private_link_service_connections or made.manual_private_link_service_connections)[0]
        told.append(connection.private_link_service_connection_state.status)
    return " ".join(told)


def decide(status):
    services = provider.private_link_services
    connections = services.list_private_endpoint_connections("rg", "web")
    connection = next(it for it in connections if it.name.startswith("fabrikam."))
    connection.private_link_service_connection_state.status = status
    connection.private_link_service_connection_state.description = "so it is"
    done = services.update_private_endpoint_connection("rg", "web", connection.name, connection)
    return done.private_link_service_connection_state.status


def clean():
    for of, name in ((contoso, "contoso"), (fabrikam, "fabrikam")):
        of.private_endpoints.begin_delete("rg", name).result()
    provider.private_link_services.begin_delete("rg", "web").result()
    provider.load_balancers.begin_delete("rg", "web").result()
    for of in (provider, contoso, fabrikam):
        of.virtual_networks.begin_delete("rg", "net").result()
    return "cleaned"


print("ready", flush=True)
for line in sys.stdin:
    verb, *words = line.split()
    print({"publish": publish, "connect": connect, "decide": decide, "clean": clean}[verb](*words), flush=True)
