// Holds what the operator holds, by client-go's own informers, and says what that takes: the measure beside which the operator's memory stands
// (tests/scale). Usage: informer KUBECONFIG whole|pruned. Prints "synced", and after each line that it reads its resident kilobytes.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Kinds of Hozen's of which there is one for each node.
var kinds = []string{"managednodes", "nodeinventories"}

func main() {
	if err := run(os.Args[1], os.Args[2] == "pruned"); err != nil {
		fmt.Fprintln(os.Stderr, "informer:", err)
		os.Exit(1)
	}
}

func run(kubeconfig string, pruned bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(typed, 0)
	others := dynamicinformer.NewDynamicSharedInformerFactory(untyped, 0)
	if pruned {
		factory = informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithTransform(prune))
	}
	factory.Core().V1().Nodes().Informer()
	factory.Core().V1().Pods().Informer()
	factory.Batch().V1().Jobs().Informer()
	for _, kind := range kinds {
		informer := others.ForResource(schema.GroupVersionResource{Group: "hozen.dev", Version: "v1alpha1", Resource: kind}).Informer()
		if pruned {
			if err := informer.SetTransform(prune); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	factory.Start(ctx.Done())
	others.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	others.WaitForCacheSync(ctx.Done())
	if ctx.Err() != nil {
		return fmt.Errorf("the first lists did not come: %w", ctx.Err())
	}
	fmt.Println("synced")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		resident, err := resident()
		if err != nil {
			return err
		}
		fmt.Println(resident)
	}
	return lines.Err()
}

// What operator/controller/src/observe/prune.rs keeps.
func prune(object any) (any, error) {
	switch o := object.(type) {
	case *core.Node:
		metadata(&o.ObjectMeta)
		o.Spec = core.NodeSpec{Taints: o.Spec.Taints, Unschedulable: o.Spec.Unschedulable}
		conditions := o.Status.Conditions
		for i := range conditions {
			conditions[i].LastHeartbeatTime = meta.Time{}
			conditions[i].Message = ""
		}
		info := o.Status.NodeInfo
		o.Status = core.NodeStatus{Conditions: conditions, NodeInfo: core.NodeSystemInfo{
			BootID: info.BootID, KubeletVersion: info.KubeletVersion, ContainerRuntimeVersion: info.ContainerRuntimeVersion,
		}}
	case *core.Pod:
		metadata(&o.ObjectMeta)
		o.Annotations, o.ResourceVersion = nil, ""
		var scratch []core.Volume
		for _, volume := range o.Spec.Volumes {
			if volume.EmptyDir != nil {
				scratch = append(scratch, volume)
			}
		}
		o.Spec = core.PodSpec{NodeName: o.Spec.NodeName, Volumes: scratch}
		o.Status = core.PodStatus{Phase: o.Status.Phase}
	case *unstructured.Unstructured:
		o.SetManagedFields(nil)
	}
	return object, nil
}

func metadata(m *meta.ObjectMeta) {
	m.ManagedFields = nil
	delete(m.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
}

func resident() (string, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			return strings.TrimSuffix(strings.TrimSpace(rest), " kB"), nil
		}
	}
	return "", fmt.Errorf("no VmRSS in /proc/self/status")
}
