package ai.h2o.mojos.runtime;

public class LicenseException extends Exception {
    public LicenseException(String message) {
        super(message);
    }
}
