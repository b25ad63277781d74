// Validates FHIR R4 resources in JSON files with HAPI FHIR and prints one tab-separated line per issue.
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

public class FhirValidate {
  record Issue(ResultSeverityEnum severity, String where, String says) {
    boolean isError() {
      return severity == ResultSeverityEnum.ERROR || severity == ResultSeverityEnum.FATAL;
    }
  }

  public static void main(String[] arguments) {
    var files = new ArrayList<>(List.of(arguments));
    boolean errorsOnly = files.remove("--errors-only");
    FhirValidator validator = offlineValidator();
    int errors = 0;
    for (String file : files) {
      for (Issue issue : judge(validator, Path.of(file))) {
        if (issue.isError()) errors++;
        if (issue.severity() == ResultSeverityEnum.INFORMATION || (errorsOnly && !issue.isError())) continue;
        System.out.println(String.join("\t", file, issue.severity().toString(), issue.where(), issue.says().replaceAll("\\s+", " ")));
      }
    }
    System.out.println(errors + " errors in " + files.size() + " files");
    System.exit(errors == 0 ? 0 : 1);
  }

  /** Knows R4's own profiles and code systems and UCUM; asks no terminology server. */
  private static FhirValidator offlineValidator() {
    FhirContext r4 = FhirContext.forR4();
    var knowledge = new ValidationSupportChain(List.<IValidationSupport>of(
        new DefaultProfileValidationSupport(r4),
        new CommonCodeSystemsTerminologyService(r4),
        new InMemoryTerminologyServerValidationSupport(r4),
        new SnapshotGeneratingValidationSupport(r4)));
    return r4.newValidator().registerValidatorModule(new FhirInstanceValidator(knowledge));
  }

  private static List<Issue> judge(FhirValidator validator, Path file) {
    try {
      var issues = new ArrayList<Issue>();
      String resource = withoutGuides(Files.readString(file), issues);
      for (SingleValidationMessage message : validator.validateWithResult(resource).getMessages()) {
        issues.add(new Issue(message.getSeverity(), String.valueOf(message.getLocationString()), message.getMessage()));
      }
      return issues;
    } catch (IOException unreadable) {
      return List.of(new Issue(ResultSeverityEnum.FATAL, "", "cannot be read: " + unreadable));
    } catch (RuntimeException notFhir) {
      return List.of(new Issue(ResultSeverityEnum.FATAL, "", String.valueOf(notFhir.getMessage())));
    }
  }

  /** Profiles of guides (subscriptions-backport) are not on this machine: such a resource is judged as plain R4, and a line says so. */
  private static String withoutGuides(String json, List<Issue> issues) throws IOException {
    JsonNode resource = new ObjectMapper().readTree(json);
    if (!(resource.path("meta").path("profile") instanceof ArrayNode profiles)) return json;
    for (int index = profiles.size() - 1; index >= 0; index--) {
      String profile = profiles.get(index).asText();
      if (profile.startsWith("http://hl7.org/fhir/StructureDefinition/")) continue;
      issues.add(new Issue(ResultSeverityEnum.WARNING, "meta.profile", "not checked against " + profile));
      profiles.remove(index);
    }
    if (profiles.isEmpty()) ((ObjectNode) resource.path("meta")).remove("profile");
    if (resource.path("meta").isEmpty()) ((ObjectNode) resource).remove("meta");
    return resource.toString();
  }
}
