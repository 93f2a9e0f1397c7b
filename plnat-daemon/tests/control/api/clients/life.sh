# A service and its endpoints from the first network to the last delete, by az and nothing else.
# $1: the gateway, $2: its authority, $3 $4 $5: tokens of the provider, contoso and fabrikam. In a directory of its own.
set -eu
url=$1
export REQUESTS_CA_BUNDLE=$2
# A cloud that is not Microsoft's does not ask them whether it is known.
export AZURE_CORE_INSTANCE_DISCOVERY=false AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_OUTPUT=json
export AZURE_CORE_SURVEY_MESSAGE=false

# One directory of az for each party.
as() { party=$1; shift; AZURE_CONFIG_DIR=$PWD/$party az "$@"; }
meet() {
    as "$1" cloud register --name plnat --endpoint-resource-manager "$url"
    as "$1" cloud set --name plnat 2> /dev/null
}
login() {
    meet "$1"
    as "$1" login --service-principal --username "$1" --password="$2" --tenant plnat > /dev/null
    as "$1" account set --subscription "$1"
}
is() { [ "$1" = "$2" ] || { echo "expected $2, found $1" >&2; exit 1; }; }
# What comes after must be refused, with this word.
refused() {
    word=$1; shift
    if said=$("$@" 2>&1); then echo "was not refused: $*" >&2; exit 1; fi
    case $said in *$word*) ;; *) echo "another refusal: $said" >&2; exit 1 ;; esac
}

login provider "$3"
login contoso "$4"
login fabrikam "$5"
meet stranger
refused "nobody who is known" as stranger login --service-principal --username contoso --password=plnat_x --tenant plnat

for party in provider contoso fabrikam; do
    prefix=10.0
    if [ $party = provider ]; then prefix=10.2; fi
    as $party group create --name rg --location westeurope > /dev/null
    as $party network vnet create -g rg -n net --address-prefixes $prefix.0.0/16 \
        --subnet-name servers --subnet-prefixes $prefix.0.0/24 > /dev/null
    for at in 1 2; do
        as $party network vnet subnet create -g rg --vnet-name net -n s$at --address-prefixes $prefix.$at.0/24 \
            --private-link-service-network-policies Disabled > /dev/null
    done
done

as provider network lb create -g rg -n web --sku Standard --vnet-name net --subnet servers \
    --frontend-ip-name web --backend-pool-name servers > /dev/null
net=$(as provider network vnet show -g rg -n net --query id -o tsv)
as provider network lb address-pool address add -g rg --lb-name web --pool-name servers -n b11 \
    --vnet "$net" --ip-address 10.2.0.11 > /dev/null
as provider network lb probe create -g rg --lb-name web -n up --protocol Tcp --port 80 --interval 5 > /dev/null
as provider network lb rule create -g rg --lb-name web -n http --protocol Tcp --frontend-port 80 --backend-port 80 \
    --frontend-ip web --backend-pool-name servers --probe-name up > /dev/null
as provider network private-link-service create -g rg -n web --vnet-name net --subnet s2 --lb-name web \
    --lb-frontend-ip-configs web --visibility contoso fabrikam --auto-approval contoso > /dev/null
service=$(as provider network private-link-service show -g rg -n web --query id -o tsv)
alias=$(as provider network private-link-service show -g rg -n web --query alias -o tsv)
is "$(as provider resource list --resource-type Microsoft.Network/privateLinkServices --query '[].name' -o tsv)" web

refused AuthorizationFailed as contoso rest --resource "$url" --url "$url$service?api-version=2024-05-01"

as contoso network private-endpoint create -g rg -n shop --vnet-name net --subnet s1 --connection-name mine \
    --private-connection-resource-id "$service" > /dev/null
is "$(as contoso network private-endpoint show -g rg -n shop \
    --query 'privateLinkServiceConnections[0].privateLinkServiceConnectionState.status' -o tsv)" Approved
as fabrikam network private-endpoint create -g rg -n desk --vnet-name net --subnet s1 --connection-name mine \
    --private-connection-resource-id "$alias" --manual-request true --request-message please > /dev/null
state() {
    as fabrikam network private-endpoint show -g rg -n desk \
        --query 'manualPrivateLinkServiceConnections[0].privateLinkServiceConnectionState.status' -o tsv
}
is "$(state)" Pending
connection=$(as provider network private-link-service show -g rg -n web \
    --query "privateEndpointConnections[?starts_with(name,'desk')].name" -o tsv)
for status in Approved Rejected; do
    as provider network private-link-service connection update -g rg --service-name web -n "$connection" \
        --connection-status $status --description "$status it is" > /dev/null
    is "$(state)" $status
done
as provider network private-link-service connection delete -g rg --service-name web -n "$connection" > /dev/null
is "$(state)" Disconnected

as contoso network private-endpoint delete -g rg -n shop
as fabrikam network private-endpoint delete -g rg -n desk
as provider network private-link-service delete -g rg -n web
as provider network lb delete -g rg -n web
for party in provider contoso fabrikam; do
    as $party network vnet delete -g rg -n net
    as $party group delete -n rg --yes
    is "$(as $party network private-endpoint list --query 'length(@)' -o tsv)" 0
done
