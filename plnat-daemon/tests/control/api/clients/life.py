"""A service and its endpoints from the first network to the last delete, by Azure's package and nothing else."""

import sys

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
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


def refused(code, call, *arguments):
    try:
        result = call(*arguments)
        result.result()
    except HttpResponseError as error:
        assert error.error.code == code, error
        return
    raise AssertionError(f"{code} was expected")


def network(of, prefix):
    subnet = lambda name, at: m.Subnet(
        name=name,
        address_prefix=f"{prefix}.{at}.0/24",
        private_endpoint_network_policies="Disabled",
        private_link_service_network_policies="Disabled",
    )
    return of.virtual_networks.begin_create_or_update(
        "rg",
        "net",
        m.VirtualNetwork(
            **WHERE,
            address_space=m.AddressSpace(address_prefixes=[f"{prefix}.0.0/16"]),
            subnets=[subnet("servers", 0), subnet("endpoints", 1), subnet("nat", 2)],
        ),
    ).result()


nets = {"provider": network(provider, "10.2"), "contoso": network(contoso, "10.0")}
nets["fabrikam"] = network(fabrikam, "10.0")
assert nets["provider"].provisioning_state == "Succeeded" and nets["provider"].etag
late = fabrikam.subnets.begin_create_or_update("rg", "net", "late", m.Subnet(address_prefix="10.0.9.0/24")).result()
assert late.name == "late"
fabrikam.subnets.begin_delete("rg", "net", "late").result()
assert [it.name for it in fabrikam.subnets.list("rg", "net")] == ["endpoints", "nat", "servers"]
subnet = lambda of, name: m.Subnet(id=f"{nets[of].id}/subnets/{name}")

lb = nets["provider"].id.replace("virtualNetworks/net", "loadBalancers/web")
backend = lambda host: m.LoadBalancerBackendAddress(
    name=f"b{host}",
    ip_address=f"10.2.0.{host}",
    virtual_network=m.SubResource(id=nets["provider"].id),
)
rule = m.LoadBalancingRule(
    name="http",
    frontend_ip_configuration=m.SubResource(id=f"{lb}/frontendIPConfigurations/web"),
    backend_address_pool=m.SubResource(id=f"{lb}/backendAddressPools/servers"),
    probe=m.SubResource(id=f"{lb}/probes/up"),
    protocol="Tcp",
    frontend_port=80,
    backend_port=80,
)
balancer = lambda sku: m.LoadBalancer(
    **WHERE,
    sku=m.LoadBalancerSku(name=sku),
    frontend_ip_configurations=[m.FrontendIPConfiguration(name="web", subnet=subnet("provider", "servers"))],
    backend_address_pools=[
        m.BackendAddressPool(name="servers", load_balancer_backend_addresses=[backend(11), backend(12)])
    ],
    probes=[m.Probe(name="up", protocol="Tcp", port=80, interval_in_seconds=5, number_of_probes=2)],
    load_balancing_rules=[rule],
)
made = provider.load_balancers.begin_create_or_update("rg", "web", balancer("Standard")).result()
assert made.frontend_ip_configurations[0].private_ip_address == "10.2.0.4"
tagged = provider.load_balancers.update_tags("rg", "web", m.TagsObject(tags={"team": "web"}))
assert tagged.tags == {"team": "web"}
refused(
    "PrivateLinkServiceNotSupportedOnBasicLoadBalancer",
    provider.load_balancers.begin_create_or_update,
    "rg",
    "web",
    balancer("Basic"),
)

service = provider.private_link_services.begin_create_or_update(
    "rg",
    "web",
    m.PrivateLinkService(
        **WHERE,
        load_balancer_frontend_ip_configurations=[
            m.FrontendIPConfiguration(id=made.frontend_ip_configurations[0].id)
        ],
        ip_configurations=[
            m.PrivateLinkServiceIpConfiguration(name="a", subnet=subnet("provider", "nat"), primary=True)
        ],
        visibility=m.PrivateLinkServicePropertiesVisibility(subscriptions=["contoso", "fabrikam"]),
        auto_approval=m.PrivateLinkServicePropertiesAutoApproval(subscriptions=["contoso"]),
        fqdns=["web.example.com"],
    ),
).result()
assert service.alias.endswith(".azure.privatelinkservice"), service.alias
seen = contoso.private_link_services.begin_check_private_link_service_visibility(
    "westeurope", m.CheckPrivateLinkServiceVisibilityRequest(private_link_service_alias=service.alias)
).result()
assert seen.visible
approved = contoso.private_link_services.list_auto_approved_private_link_services("westeurope")
assert [it.private_link_service for it in approved] == [service.id]
assert [it.name for it in contoso.available_private_endpoint_types.list("westeurope")]

# GET, edit, PUT of everything: a second NAT address.
again = provider.private_link_services.get("rg", "web")
second = m.PrivateLinkServiceIpConfiguration(name="b", subnet=subnet("provider", "nat"))
again.ip_configurations = [*again.ip_configurations, second]
again = provider.private_link_services.begin_create_or_update("rg", "web", again).result()
assert len(again.ip_configurations) == 2 and again.alias == service.alias

shop = contoso.private_endpoints.begin_create_or_update(
    "rg",
    "shop",
    m.PrivateEndpoint(
        **WHERE,
        subnet=subnet("contoso", "endpoints"),
        private_link_service_connections=[
            m.PrivateLinkServiceConnection(name="mine", private_link_service_id=service.id)
        ],
    ),
).result()
state = shop.private_link_service_connections[0].private_link_service_connection_state
assert state.status == "Approved", state
assert shop.custom_dns_configs[0].ip_addresses == ["10.0.1.4"]
asked = lambda service, **more: m.PrivateEndpoint(
    **WHERE,
    subnet=subnet("fabrikam", "endpoints"),
    manual_private_link_service_connections=[
        m.PrivateLinkServiceConnection(name="mine", private_link_service_id=service, request_message="please")
    ],
    **more,
)
# The oldest release knows no static address.
fixed = {}
if hasattr(m, "PrivateEndpointIPConfiguration"):
    fixed["ip_configurations"] = [m.PrivateEndpointIPConfiguration(name="ip", private_ip_address="10.0.1.9")]
desk = fabrikam.private_endpoints.begin_create_or_update("rg", "desk", asked(service.alias, **fixed)).result()
state = desk.manual_private_link_service_connections[0].private_link_service_connection_state
assert (state.status, state.description) == ("Pending", "please"), state
refused(
    "InvalidPrivateLinkServiceId",
    fabrikam.private_endpoints.begin_create_or_update,
    "rg",
    "lost",
    asked(service.alias.replace("web.", "wab.")),
)

connections = list(provider.private_link_services.list_private_endpoint_connections("rg", "web"))
waiting = next(it for it in connections if it.name.startswith("desk."))
for status in ("Approved", "Rejected", "Approved"):
    waiting.private_link_service_connection_state.status = status
    waiting.private_link_service_connection_state.description = f"{status} it is"
    waiting = provider.private_link_services.update_private_endpoint_connection("rg", "web", waiting.name, waiting)
    assert waiting.private_link_service_connection_state.status == status
    desk = fabrikam.private_endpoints.get("rg", "desk")
    state = desk.manual_private_link_service_connections[0].private_link_service_connection_state
    assert (state.status, state.description) == (status, f"{status} it is")
assert desk.custom_dns_configs[0].fqdn == "web.example.com"

zone = nets["fabrikam"].id.replace("virtualNetworks/net", "privateDnsZones/example.com")
group = fabrikam.private_dns_zone_groups.begin_create_or_update(
    "rg",
    "desk",
    "default",
    m.PrivateDnsZoneGroup(private_dns_zone_configs=[m.PrivateDnsZoneConfig(name="z", private_dns_zone_id=zone)]),
).result()
assert group.private_dns_zone_configs[0].record_sets[0].record_set_name == "web"
assert len(list(fabrikam.private_dns_zone_groups.list("desk", "rg"))) == 1
fabrikam.private_dns_zone_groups.begin_delete("rg", "desk", "default").result()

refused(
    "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted",
    provider.private_link_services.begin_delete,
    "rg",
    "web",
)
provider.private_link_services.begin_delete_private_endpoint_connection("rg", "web", waiting.name).result()
desk = fabrikam.private_endpoints.get("rg", "desk")
assert desk.manual_private_link_service_connections[0].private_link_service_connection_state.status == "Disconnected"

contoso.private_endpoints.begin_delete("rg", "shop").result()
fabrikam.private_endpoints.begin_delete("rg", "desk").result()
provider.private_link_services.begin_delete("rg", "web").result()
provider.load_balancers.begin_delete("rg", "web").result()
for of in (provider, contoso, fabrikam):
    of.virtual_networks.begin_delete("rg", "net").result()
    assert not list(of.private_endpoints.list_by_subscription())
    try:
        of.virtual_networks.get("rg", "net")
        raise AssertionError("the network is still there")
    except ResourceNotFoundError as error:
        assert error.error.code == "ResourceNotFound", error
