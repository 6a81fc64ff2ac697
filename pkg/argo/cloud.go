package argo

import (
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// cloudVariables are those that clouds' webhooks give to containers, so that these can
// act as the pod's ServiceAccount, and what they may say. None runs another program, or
// leads a cloud's client to another cloud: a region with a slash in it would.
var cloudVariables = map[string]*regexp.Regexp{
	// github.com/aws/amazon-eks-pod-identity-webhook, and EKS Pod Identity
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": whole(`/var/run/secrets/pods\.eks\.amazonaws\.com/serviceaccount/eks-pod-identity-token`),
	"AWS_CONTAINER_CREDENTIALS_FULL_URI":     whole(`http://(169\.254\.170\.23|\[fd00:ec2::23\])/v1/credentials`),
	"AWS_DEFAULT_REGION":                     whole(`[a-z0-9-]{1,40}`),
	"AWS_REGION":                             whole(`[a-z0-9-]{1,40}`),
	"AWS_ROLE_ARN":                           whole(`arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,576}`),
	"AWS_STS_REGIONAL_ENDPOINTS":             whole(`regional|legacy`),
	"AWS_WEB_IDENTITY_TOKEN_FILE":            whole(`/var/run/secrets/eks\.amazonaws\.com/serviceaccount/token`),
	// github.com/Azure/azure-workload-identity
	"AZURE_AUTHORITY_HOST":       whole(`https://login\.(microsoftonline\.(com|us|de)|chinacloudapi\.cn)/`),
	"AZURE_CLIENT_ID":            whole(`([0-9A-Fa-f-]{36})?`), // some versions write it for ServiceAccounts that have none
	"AZURE_FEDERATED_TOKEN_FILE": whole(`/var/run/secrets/azure/tokens/azure-identity-token`),
	"AZURE_TENANT_ID":            whole(`([0-9A-Fa-f-]{36})?`),
}

func whole(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }

// cloudToken is a token that a cloud takes for the identity, as its webhook has it
// mounted.
type cloudToken struct {
	mountPath, file string
	audiences       []string
}

var cloudTokens = []cloudToken{
	{"/var/run/secrets/eks.amazonaws.com/serviceaccount", "token", []string{"sts.amazonaws.com", "sts.amazonaws.com.cn"}},
	{"/var/run/secrets/pods.eks.amazonaws.com/serviceaccount", "eks-pod-identity-token", []string{"pods.eks.amazonaws.com"}},
	{"/var/run/secrets/azure/tokens", "azure-identity-token", []string{"api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "api://AzureADTokenExchangeChina"}},
}

// isCloudVariable says whether a variable is one of a cloud's identity, as its webhook
// writes it. A client of the cloud reads it, and what it fetches and stores is held to
// digests all the same.
func isCloudVariable(v corev1.EnvVar) bool {
	words, known := cloudVariables[v.Name]
	return known && v.ValueFrom == nil && words.MatchString(v.Value)
}

// isCloudMount says whether a mount of this volume is that of a cloud's token and of
// nothing else: one projected token, for the cloud to read, where its webhook has it.
func isCloudMount(m corev1.VolumeMount, v *corev1.Volume) bool {
	if v == nil || v.Projected == nil || len(v.Projected.Sources) != 1 || !m.ReadOnly ||
		m.SubPath != "" || m.SubPathExpr != "" || m.MountPropagation != nil || m.RecursiveReadOnly != nil {
		return false
	}
	source := v.Projected.Sources[0]
	token := source.ServiceAccountToken
	if token == nil {
		return false
	}
	source.ServiceAccountToken = nil
	return source == (corev1.VolumeProjection{}) && slices.ContainsFunc(cloudTokens, func(t cloudToken) bool {
		return m.MountPath == t.mountPath && token.Path == t.file && slices.Contains(t.audiences, token.Audience)
	})
}

// WithoutCloudIdentity is a container without what a cloud's webhook gave it, and
// webhooks that are called after ours give it to ours, too.
func WithoutCloudIdentity(c corev1.Container, volumes []corev1.Volume) corev1.Container {
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), isCloudVariable)
	c.VolumeMounts = slices.DeleteFunc(slices.Clone(c.VolumeMounts), func(m corev1.VolumeMount) bool {
		return isCloudMount(m, findVolume(volumes, m.Name))
	})
	return c
}
