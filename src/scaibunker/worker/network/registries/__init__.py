"""The package registries that bunkers with the profile `registry` may reach: the operator's list, or what the
package clients of this host say. No name of a registry stands in the source.
"""
